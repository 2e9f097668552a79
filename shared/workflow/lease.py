"""How long an instance stays a worker's, in machine time, and how long its calls need that."""

from __future__ import annotations

from collections.abc import Callable

from shared.workflow.settings import EngineSettings


class Lease:
    """That of one claim."""

    def __init__(self, monotonic: Callable[[], float], settings: EngineSettings):
        self._monotonic = monotonic
        self._settings = settings
        self._calls = 0
        self._hold_until = 0.0
        self._until = 0.0

    def hold(self, timeout_seconds: float) -> None:
        """Asks for a lease that outlasts a call, or a look-up, which begins now."""
        self._calls += 1
        needed_until = self._monotonic() + timeout_seconds + self._settings.call_grace_seconds
        self._hold_until = max(self._hold_until, needed_until)

    def landed(self) -> None:
        """A call is over; one that is cancelled is not, as far as anybody knows."""
        self._calls -= 1
        if self._calls == 0:
            self._hold_until = 0.0

    @property
    def held_seconds(self) -> float:
        """For how long calls in flight still need it."""
        return max(0.0, self._hold_until - self._monotonic())

    @property
    def next_seconds(self) -> float:
        """How long the next commit is to make it."""
        return max(self._settings.lease_seconds, self.held_seconds)

    @property
    def outlasts_holds(self) -> bool:
        """Whether it is as long as has been asked for."""
        return self._until >= self._hold_until

    def outlasts(self, seconds: float) -> bool:
        """Whether what takes so long would end within it."""
        return self._monotonic() + seconds <= self._until

    def begin(self, at: float, seconds: float | None) -> None:
        """It was committed by a statement that was sent at `at`; for no time, it is given up."""
        self._until = at + (seconds or 0.0)
