"""What was found when the services' invariants were last looked at."""

from __future__ import annotations

from datetime import datetime

from shared.messages.base import Message


class InvariantResultsQuery(Message, frozen=True, kw_only=True):
    """`invariant_results`: answers InvariantResults."""


class CheckInvariants(Message, frozen=True, kw_only=True):
    """`check_invariants`: has every service asked now, not in its turn; answers InvariantResults as
    they are until then."""


class BrokenInvariant(Message, frozen=True, kw_only=True):
    """What breaks an invariant now."""

    invariant: str
    subject: str
    """The id or key of what breaks it."""
    detail: str
    since: datetime
    """When it was found first, in machine time."""


class StatusesCompared(Message, frozen=True, kw_only=True):
    """Keys of the status bucket that were compared with their journals, ever since."""

    checked: int
    differed: int
    mended: int


class ServiceInvariants(Message, frozen=True, kw_only=True):
    """How one service stands."""

    service: str
    checked_at: datetime | None
    """When the last result was asked for, in machine time; None before the first one."""
    next_check_at: datetime
    broken: tuple[BrokenInvariant, ...]
    """At most a hundred of each invariant."""
    counts: dict[str, int]
    """How many there are, by invariant, where the service answered."""
    statuses: StatusesCompared


class InvariantResults(Message, frozen=True, kw_only=True):
    """Every service, by its name."""

    services: tuple[ServiceInvariants, ...]
