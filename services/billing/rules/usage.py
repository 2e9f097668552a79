"""When use is near its limit, and when it has reached it."""

from __future__ import annotations

from typing import Literal

from services.billing.models import Metric, SubscriptionStatus

UsageNotice = Literal["usage_warning", "storage_warning", "usage_exceeded"]

WARNINGS: dict[Metric, UsageNotice] = {
    "api_calls": "usage_warning",
    "storage_bytes": "storage_warning",
}
WATCHED = frozenset(
    {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE}
)
"""Statuses in which limits hold."""


def usage_notice(
    status: SubscriptionStatus, metric: Metric, used: int, limit: int | None
) -> UsageNotice | None:
    """What this use calls for: told once for each customer, metric and period.

    A limit of None is none; one of 0 is exceeded by any use.
    """
    if status not in WATCHED or limit is None or used == 0:
        return None
    if used >= limit:
        return "usage_exceeded"
    # More than nine tenths, in integers: a float errs at the edge.
    return WARNINGS[metric] if used * 10 > limit * 9 else None
