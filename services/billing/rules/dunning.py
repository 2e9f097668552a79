"""When a payment that was declined is tried again, and when nobody waits for it any longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import msgspec


class DunningSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """Days after the first failure. A day is 24 hours of business time, in every time zone.

    Raises ValueError that begins with the field, and tells the remedy.
    """

    retry_days: tuple[int, ...] = (1, 3, 7, 14, 30)
    cancel_days: int = 30
    """From here on it is canceled, where no payment may still arrive."""
    stop_days: int = 37
    """From here on it is canceled whatever may still arrive."""
    least_gap_hours: int = 24
    """Between two automatic attempts."""

    def __post_init__(self) -> None:
        days = self.retry_days
        if not all(day > 0 for day in days) or not all(a < b for a, b in pairwise(days)):
            raise ValueError(
                f"`retry_days` {days} do not rise from 1 or more: write days such as (1, 3, 7)"
            )
        # A retry after the cancellation would never be sent.
        least_cancel_days = max(days, default=1)
        if self.cancel_days < least_cancel_days:
            raise ValueError(
                f"`cancel_days` {self.cancel_days} is before the last retry: "
                f"write {least_cancel_days} or more"
            )
        if self.stop_days < self.cancel_days:
            raise ValueError(
                f"`stop_days` {self.stop_days} is before `cancel_days`: "
                f"write {self.cancel_days} or more"
            )
        if self.least_gap_hours <= 0:
            raise ValueError(f"`least_gap_hours` {self.least_gap_hours}: write 1 or more")


def next_retry(
    schedule: DunningSchedule, past_due_since: datetime, last_automatic_at: datetime | None
) -> datetime | None:
    """When the next automatic attempt is due; None when none is left.

    It may lie in the past: what an outage missed is one attempt, and the days before that attempt
    do not come again.
    """
    retries = (past_due_since + timedelta(days=day) for day in schedule.retry_days)
    if last_automatic_at is None:
        return next(retries, None)
    due_at = next((at for at in retries if at > last_automatic_at), None)
    if due_at is None:
        return None
    return max(due_at, last_automatic_at + timedelta(hours=schedule.least_gap_hours))


def cancel_at(schedule: DunningSchedule, past_due_since: datetime) -> datetime:
    """From when it is canceled, unless a payment is on its way or a retry is left."""
    return past_due_since + timedelta(days=schedule.cancel_days)


def stop_at(schedule: DunningSchedule, past_due_since: datetime) -> datetime:
    """From when it is canceled in any case."""
    return past_due_since + timedelta(days=schedule.stop_days)
