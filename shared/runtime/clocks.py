"""Business time as the wall clock tells it; the only place that reads it."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """See ports.Clock."""

    is_virtual = False

    def now(self) -> datetime:
        """The instant, with zone UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place
