"""What is asked of analytics, and answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import field

from shared.messages.base import Message
from shared.messages.billing.values import Currency
from shared.messages.values import Instant

AnalyticsMetric = Literal[
    "active_players",
    "rewards",
    "reward_xp",
    "reward_coins",
    "level_ups",
    "revenue",
    "mrr",
    "subscribers",
    "churn",
    "recovery_rate",
]
AnalyticsGrain = Literal["hour", "day"]
AnalyticsUnit = Literal["count", "minor", "ratio"]
"""minor: the currency's smallest unit, such as cents."""


class AnalyticsQuery(Message, frozen=True, kw_only=True):
    """`analytics`: one metric over time."""

    metric: AnalyticsMetric
    grain: AnalyticsGrain = "day"
    from_: Instant = field(name="from")
    """The first bucket is the one that it lies in."""
    to: Instant
    """The last bucket begins before it."""
    currency: Currency | None = None
    """That of an amount; without it all are answered, a series each."""


class AnalyticsBucket(Message, frozen=True, kw_only=True):
    """An hour or a day of UTC."""

    start: datetime
    value: int | float | None
    """None: there is nothing that it could be a share of."""


class AnalyticsSeries(Message, frozen=True, kw_only=True):
    """The buckets in their order, none left out."""

    currency: str | None
    """Of an amount."""
    buckets: tuple[AnalyticsBucket, ...]


class AnalyticsReport(Message, frozen=True, kw_only=True):
    """Answer to `analytics`."""

    metric: AnalyticsMetric
    grain: AnalyticsGrain
    unit: AnalyticsUnit
    closed_until: datetime | None
    """Days before it are complete but for facts that come late; None: no day is yet."""
    series: tuple[AnalyticsSeries, ...]
