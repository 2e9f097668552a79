"""What follows from an attempt to send a letter."""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages.notices import LetterState
from shared.notify.channel import NotSent, Undeliverable

MAX_ATTEMPTS = 16
"""With the backoff they reach over half a day."""

FIRST_RETRY_SECONDS = 15.0
LONGEST_RETRY_SECONDS = 3600.0
LONGEST_WISH_SECONDS = 86400.0
"""No receiver's Retry-After is followed for longer."""


@dataclass(frozen=True)
class Verdict:
    """The state that an attempt leaves, in machine time."""

    state: LetterState
    error: str | None = None
    retry_seconds: float = 0.0


SENT = Verdict("sent")


def after(error: Undeliverable | NotSent, attempt: int) -> Verdict:
    """Final refusals and the last attempt fail; others come again, later each time."""
    if isinstance(error, Undeliverable) or attempt >= MAX_ATTEMPTS:
        return Verdict("failed", str(error))
    backoff_seconds = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (attempt - 1))
    wish_seconds = min(error.retry_after_seconds, LONGEST_WISH_SECONDS)
    return Verdict("pending", str(error), max(backoff_seconds, wish_seconds))
