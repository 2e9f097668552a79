"""Business time that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class ManualClock:
    """See ports.Clock."""

    is_virtual = True

    def __init__(self, instant: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)):
        self._now = instant

    def now(self) -> datetime:
        """The instant that was last set."""
        return self._now

    def advance(self, duration: timedelta) -> None:
        """Moves on."""
        self._now += duration

    def set(self, instant: datetime) -> None:
        """Moves to an instant, which may lie before the present one."""
        self._now = instant
