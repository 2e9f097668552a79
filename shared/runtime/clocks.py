"""Business time: as the wall clock tells it, here alone, or as it was last set."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """See ports.Clock."""

    is_virtual = False

    def now(self) -> datetime:
        """The instant, with zone UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place


class VirtualClock:
    """See ports.Clock. Stands still until a later instant is set."""

    is_virtual = True

    def __init__(self, instant: datetime):
        self._now = instant.astimezone(UTC)

    def now(self) -> datetime:
        """The latest instant that was set."""
        return self._now

    def set(self, instant: datetime) -> None:
        """Moves on to `instant`; an earlier one than the present changes nothing."""
        self._now = max(self._now, instant.astimezone(UTC))
