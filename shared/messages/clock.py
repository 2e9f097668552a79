"""What the processes of a stack and whoever advances its virtual clock tell each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from shared.messages.base import Message

Instant = Annotated[datetime, Meta(tz=True)]


class ClockSet(Message, frozen=True, kw_only=True):
    """Moves business time to `instant`; an earlier one than a process has changes nothing there."""

    instant: Instant


class ClockQuery(Message, frozen=True, kw_only=True):
    """Asks every process how it stands."""

    agreed: Instant | None = None
    """The instant that all processes have taken: what is due by it may be woken."""


class ClockReading(Message, frozen=True, kw_only=True):
    """The instant of one process, told by each in answer to ClockSet."""

    member: str
    """The process, by a name that no later process has again."""
    service: str | None
    """None for a process without a schema."""
    instant: Instant


class Activity(Message, frozen=True, kw_only=True):
    """What goes on in one service's schema."""

    commits: int
    """Grows with every transaction that writes, restarts of the server included."""
    open_transactions: int
    unsent: int
    """Messages of the outbox."""
    held: int
    """Instances that are due now: to be woken, woken and not claimed yet, or under a lease; and
    messages of the inbox that nobody was woken for yet."""
    due_at: Instant | None
    """The earliest business instant at which something is to be done."""


class ClockReport(ClockReading, frozen=True, kw_only=True):
    """One process's answer to ClockQuery."""

    activity: Activity | None = None
    """None for a process without a schema."""
