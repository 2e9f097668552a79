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
"""By step: days of 24 hours after the first failure. The sixth notice, `cancellation`, is no step:
the cancellation itself tells it, since on day 30 a payment may still be on its way."""


def due_step(past_due_since: datetime, now: datetime, told: Collection[int]) -> int | None:
    """The latest step that has come, unless it has been told; what it overtook is never sent."""
    latest = max((step for step in NOTICES if step_at(past_due_since, step) <= now), default=None)
    return None if latest in told else latest


def next_step_at(past_due_since: datetime, now: datetime, told: Collection[int]) -> datetime | None:
    """When the next step is due, in the past where one is; None when none is left."""
    due = due_step(past_due_since, now, told)
    if due is not None:
        return step_at(past_due_since, due)
    times = (step_at(past_due_since, step) for step in NOTICES)
    return next((at for at in times if at > now), None)


def step_at(past_due_since: datetime, step: int) -> datetime:
    """When a step comes."""
    return past_due_since + timedelta(days=step)
