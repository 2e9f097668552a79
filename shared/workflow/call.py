"""What a call's body and its look-up receive, and what a look-up may answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Final, Literal


class Verdict(Enum):
    """The types of NOT_FOUND and UNKNOWN."""

    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"


NOT_FOUND: Final = Verdict.NOT_FOUND
"""Answered by a look-up that met nothing under the key; believed once nothing can be under way."""

UNKNOWN: Final = Verdict.UNKNOWN
"""Answered by a look-up that cannot tell; `run` receives it as OutcomeUnknown."""

NotFound = Literal[Verdict.NOT_FOUND]
Unknown = Literal[Verdict.UNKNOWN]


class Call:
    """One attempt of one call: no transaction is open while it runs."""

    def __init__(
        self,
        idempotency_key: str,
        attempt: int,
        now: datetime,
        timeout: timedelta,
        workflow_id: str,
    ):
        self.idempotency_key = idempotency_key
        """The same in every attempt and look-up of this call, and no other's."""
        self.attempt = attempt
        """From 1."""
        self.now = now
        """Business time."""
        self.timeout = timeout
        """Machine time that the attempt has."""
        self.workflow_id = workflow_id
