"""Whether a consumer gets on."""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages.maintenance import HealthStatus

WARN_SHARE = 0.5
"""Of the time after which a consumer is stuck."""


@dataclass(frozen=True)
class Backlog:
    """What a consumer says of itself."""

    pending: int
    """Not delivered yet."""
    unacknowledged: int
    redelivered: int
    ack_floor: int
    """Up to here everything has been acknowledged."""


@dataclass(frozen=True)
class Floor:
    """Since when the acknowledgements are where they are, in seconds of the machine."""

    ack_floor: int
    since_seconds: float


def follow(floor: Floor | None, backlog: Backlog, now_seconds: float) -> Floor:
    """The floor's age begins anew where it moved, and where there is nothing to do."""
    idle = backlog.pending == 0 and backlog.unacknowledged == 0
    if floor is None or idle or floor.ack_floor != backlog.ack_floor:
        return Floor(backlog.ack_floor, now_seconds)
    return floor


def progress(
    floor: Floor, backlog: Backlog, now_seconds: float, stuck_seconds: float
) -> tuple[HealthStatus, str]:
    """The status, and what it follows from."""
    age_seconds = now_seconds - floor.since_seconds
    detail = (
        f"{backlog.pending} pending, {backlog.unacknowledged} unacknowledged, "
        f"{backlog.redelivered} redelivered, ack floor unchanged for {age_seconds:.0f} s"
    )
    if age_seconds >= stuck_seconds:
        return "fail", detail
    return "warn" if age_seconds >= WARN_SHARE * stuck_seconds else "pass", detail
