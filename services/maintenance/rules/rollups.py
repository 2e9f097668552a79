"""What facts count for, and how metrics follow from what was counted.

Each fact adds to measures by itself, whatever came before it; so facts may come late and in any
order, and a bucket's measures are the sums of its facts. A stock, such as the subscriptions there
are, is the sum of all changes up to an instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from shared.messages.billing import (
    ChargebackReceived,
    DisputeResolved,
    InvoicePaid,
    PaymentFailed,
    PaymentSucceeded,
    PlanChanged,
    RefundIssued,
    SubscriptionChanged,
    SubscriptionStarted,
)
from shared.messages.events import Event
from shared.messages.maintenance import AnalyticsGrain, AnalyticsMetric, AnalyticsUnit
from shared.messages.player import (
    DailyRewardClaimed,
    LevelReached,
    PlayerLoggedIn,
    SessionCompleted,
)

KEEP_DAYS = 400
"""How long facts are kept. Their rollups stay."""
LATE_DAYS = KEEP_DAYS - 1
"""A fact older than this is not counted: others of its bucket may be gone."""
GRACE = timedelta(hours=1)
"""How long after a day's end a service may still be about to publish its last facts."""
STEP: Mapping[AnalyticsGrain, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}

SUBSCRIBED = {"active", "past_due"}
"""A trial has not been paid yet; who is past due may still pay."""
MONTHS = {"month": 1, "year": 12}
AUTOMATIC = {"cycle", "dunning"}

Measures = Mapping[str, int]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What one fact adds to which measures."""

    person_id: UUID
    amounts: Measures
    currency: str = ""
    invoice_id: UUID | None = None


def counted(event: Event) -> Counted | None:
    """What the fact counts for; None for nothing."""
    match event:
        case PlayerLoggedIn() | SessionCompleted():
            return Counted(person_id=event.player_id, amounts={"activity": 1})
        case DailyRewardClaimed():
            amounts: Measures = {"rewards": 1, "reward_xp": event.xp, "reward_coins": event.coins}
            return Counted(person_id=event.player_id, amounts=amounts)
        case LevelReached():
            amounts = {"level_ups": event.level - event.previous_level}
            return Counted(person_id=event.player_id, amounts=amounts)
        case PaymentSucceeded():
            return _of_invoice(event, {"paid_minor": event.amount_minor})
        case RefundIssued() | ChargebackReceived():
            return _of_invoice(event, {"returned_minor": event.amount_minor})
        case DisputeResolved(resolution="won"):
            return _of_invoice(event, {"returned_minor": -event.amount_minor})
        case PaymentFailed(failures=1) if event.initiator in AUTOMATIC:
            return _of_invoice(event, {"dunning_entered": 1})
        case InvoicePaid() if event.failures:
            return _of_invoice(event, {"dunning_recovery": 1})
        case SubscriptionStarted() | SubscriptionChanged() | PlanChanged():
            amounts = _of_subscription(event)
            if not amounts:
                return None
            return Counted(person_id=event.customer_id, currency=event.currency, amounts=amounts)
        case _:
            return None


def _of_invoice(
    event: PaymentSucceeded
    | RefundIssued
    | ChargebackReceived
    | DisputeResolved
    | PaymentFailed
    | InvoicePaid,
    amounts: Measures,
) -> Counted:
    return Counted(
        person_id=event.customer_id,
        invoice_id=event.invoice_id,
        currency=event.currency,
        amounts=amounts,
    )


def _of_subscription(event: SubscriptionStarted | SubscriptionChanged | PlanChanged) -> Measures:
    """By how much the event changes what subscribers there are, and what they pay in a year."""
    now = event.status in SUBSCRIBED
    was = now
    yearly_minor = event.amount_minor * 12 // MONTHS[event.interval]
    before_minor = yearly_minor
    match event:
        case SubscriptionStarted():
            was = False
        case SubscriptionChanged():
            was = event.previous_status in SUBSCRIBED
        case PlanChanged():
            before_minor = event.previous_amount_minor * 12 // MONTHS[event.previous_interval]
    changes = {
        "subscribers": now - was,
        "churned": int(was and not now),
        "yearly_minor": yearly_minor * now - before_minor * was,
    }
    return {name: amount for name, amount in changes.items() if amount}


Value = int | float | None
Formula = Callable[[Measures, Measures], Value]
"""Of the sums of all before the bucket, and of those within it."""


class Metric(NamedTuple):
    """How a metric follows from its measures."""

    unit: AnalyticsUnit
    measures: tuple[str, ...]
    formula: Formula
    by_currency: bool = False
    """Amounts of different currencies are never added up."""


def _flow(measure: str) -> Metric:
    def within_bucket(_before: Measures, within: Measures) -> Value:
        return within[measure]

    return Metric("count", (measure,), within_bucket)


def _revenue(_before: Measures, within: Measures) -> Value:
    return within["paid_minor"] - within["returned_minor"]


def _mrr(before: Measures, within: Measures) -> Value:
    # Rounded once, half up: a twelfth of the sum, not the sum of twelfths.
    return (before["yearly_minor"] + within["yearly_minor"] + 6) // 12


def _subscribers(before: Measures, within: Measures) -> Value:
    return before["subscribers"] + within["subscribers"]


def _churn(before: Measures, within: Measures) -> Value:
    return _ratio(within["churned"], before["subscribers"])


def _recovery_rate(_before: Measures, within: Measures) -> Value:
    return _ratio(within["dunning_recovered"], within["dunning_entered"])


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole > 0 else None


METRICS: Mapping[AnalyticsMetric, Metric] = {
    "active_players": _flow("active_players"),
    "rewards": _flow("rewards"),
    "reward_xp": _flow("reward_xp"),
    "reward_coins": _flow("reward_coins"),
    "level_ups": _flow("level_ups"),
    "revenue": Metric("minor", ("paid_minor", "returned_minor"), _revenue, by_currency=True),
    "mrr": Metric("minor", ("yearly_minor",), _mrr, by_currency=True),
    "subscribers": Metric("count", ("subscribers",), _subscribers),
    "churn": Metric("ratio", ("churned", "subscribers"), _churn),
    "recovery_rate": Metric("ratio", ("dunning_recovered", "dunning_entered"), _recovery_rate),
}


def series(
    metric: Metric, starts: list[datetime], before: Measures, within: Mapping[datetime, Measures]
) -> Iterator[tuple[datetime, Value]]:
    """The metric's value of each bucket; `before` are the sums of all buckets before the first."""
    sums = {name: before.get(name, 0) for name in metric.measures}
    for start in starts:
        found = within.get(start, {})
        own = {name: found.get(name, 0) for name in metric.measures}
        yield start, metric.formula(sums, own)
        sums = {name: sums[name] + own[name] for name in metric.measures}


def bucket_start(at: datetime, grain: AnalyticsGrain) -> datetime:
    """The beginning of the hour or day of UTC that the instant, in UTC, lies in."""
    hour: dict[str, Any] = {"hour": 0} if grain == "day" else {}
    return at.replace(**hour, minute=0, second=0, microsecond=0)


def received_until(caught_up_at: datetime) -> datetime:
    """Up to when days are received, if nothing was left to take at the instant."""
    return bucket_start(caught_up_at - GRACE, "day")
