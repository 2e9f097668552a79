"""Mending the status bucket: the request that every service answers, and what it did."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.base import Message

Reason = Literal["missing", "behind", "ahead", "altered", "orphan"]
"""How a key differs from the journal: missing; of an earlier commit; of a commit that never was;
of the same commit, with other content; of an instance that there is not."""


class StatusCursor(Message, frozen=True, kw_only=True):
    """Where to go on; callers give back what they were given."""

    kind: str = ""
    id: str = ""
    """Of the last instance that was compared with its key."""
    sequence: int | None = None
    """Once all instances are compared: the next revision in the bucket to be looked at."""
    last: int | None = None
    """The last one to be looked at; what is put later is newer than the walk."""


class MendStatuses(Message, frozen=True, kw_only=True):
    """`mend_statuses`: compares keys of the status bucket with the journals, and puts right what
    differs; answers StatusesMended. Begins anew, or goes on at `cursor`."""

    cursor: StatusCursor | None = None
    limit: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """Of keys to be looked at."""
    budget_seconds: Annotated[float, Meta(gt=0, le=60)] = 3.0
    """Machine time after which no more are begun."""


class StatusDifference(Message, frozen=True, kw_only=True):
    """A key that was not as its journal has it."""

    kind: str
    id: str
    reason: Reason
    mended: bool
    """False where somebody put or deleted the key meanwhile: it is looked at the next time."""


class StatusesMended(Message, frozen=True, kw_only=True):
    """What was looked at and done."""

    checked: int
    differed: int
    mended: int
    differences: tuple[StatusDifference, ...] = ()
    """The first hundred of those that differed."""
    cursor: StatusCursor | None = None
    """Where to go on; None once everything was looked at."""
