"""Business time and machine time that stand still until a test moves them."""

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


class MachineTime:
    """A monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __call__(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Moves on."""
        self._seconds += seconds
