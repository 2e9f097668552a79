"""What a customer is told before a period ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.billing.models import SubscriptionStatus

REMINDER_LEAD = timedelta(days=7)
REMINDED = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING})
"""Statuses in which the end of the period changes something."""


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    """That a period ends, and whether another follows."""

    name: Literal["renewal_reminder", "ending_notice"]
    days: int
    """Until the end, begun ones included."""


def reminder(
    status: SubscriptionStatus, period_end: datetime, cancel_at_period_end: bool, now: datetime
) -> Reminder | None:
    """The reminder of this end, in the last seven days before it; None at any other time."""
    left = period_end - now
    if status not in REMINDED or not timedelta() < left <= REMINDER_LEAD:
        return None
    return Reminder(
        name="ending_notice" if cancel_at_period_end else "renewal_reminder",
        days=-(-left // timedelta(days=1)),
    )
