"""What a customer is told while a payment is missing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

PastDueNotice = Literal["payment_failed", "payment_reminder", "final_notice"]

NOTICES: dict[int, PastDueNotice] = {
    0: "payment_failed",
    1: "payment_reminder",
    3: "payment_reminder",
    7: "final_notice",
    14: "final_notice",
}
"""By days of 24 hours after the first failure. The sixth notice, `cancellation`, has no day: the
cancellation itself tells it, since on day 30 a payment may still be on its way."""


def due_day(past_due_since: datetime, now: datetime, told: Collection[int]) -> int | None:
    """The day whose notice is due: the latest that has come, None where that one has been told.

    A notice that a later one overtook is never sent.
    """
    latest = max((day for day in NOTICES if day_at(past_due_since, day) <= now), default=None)
    return None if latest in told else latest


def next_notice_at(
    past_due_since: datetime, now: datetime, told: Collection[int]
) -> datetime | None:
    """When the next notice is due, in the past where one is; None when none is left."""
    due = due_day(past_due_since, now, told)
    if due is not None:
        return day_at(past_due_since, due)
    times = (day_at(past_due_since, day) for day in NOTICES)
    return next((at for at in times if at > now), None)


def day_at(past_due_since: datetime, day: int) -> datetime:
    """When a day has come."""
    return past_due_since + timedelta(days=day)
