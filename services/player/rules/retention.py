"""How long rows are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class Cutoffs(msgspec.Struct, frozen=True, kw_only=True):
    """What is strictly older is deleted."""

    rows: datetime
    guest_sessions: datetime


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The one policy; spans of time, not of the calendar, so no zone changes them."""

    rows: timedelta = timedelta(days=30)
    """A player's sessions, messages and event logs."""
    guest_sessions: timedelta = timedelta(hours=24)
    guest_batch: int = 500
    """Guest sessions that one run deletes at most, since they are nobody's own."""

    def cutoffs(self, now: datetime) -> Cutoffs:
        """The instants before which rows go."""
        return Cutoffs(rows=now - self.rows, guest_sessions=now - self.guest_sessions)
