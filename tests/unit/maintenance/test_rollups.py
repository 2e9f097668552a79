"""What each fact counts for, and what metrics make of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.maintenance.rules.rollups import (
    METRICS,
    bucket_start,
    counted,
    received_until,
    series,
)
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
from shared.messages.maintenance import AnalyticsMetric
from shared.messages.player import (
    AchievementUnlocked,
    DailyRewardClaimed,
    LevelReached,
    PlayerLoggedIn,
)

ID = UUID(int=1)
AT = datetime(2026, 3, 1, tzinfo=UTC)
MONTHLY: dict[str, Any] = {
    "subscription_id": ID,
    "customer_id": ID,
    "plan_id": "plus",
    "amount_minor": 999,
    "currency": "EUR",
    "interval": "month",
}
YEARLY: dict[str, Any] = {**MONTHLY, "amount_minor": 9990, "interval": "year"}
INVOICE: dict[str, Any] = {
    "invoice_id": ID,
    "subscription_id": ID,
    "customer_id": ID,
    "plan_id": "plus",
    "period_start": AT,
    "period_end": AT,
    "amount_minor": 999,
    "currency": "EUR",
}
PAYMENT: dict[str, Any] = {**INVOICE, "number": 1, "initiator": "cycle", "provider": "sandbox"}
DECLINE: dict[str, Any] = {**PAYMENT, "decline_code": None, "decline_class": "soft"}
OWN_DECLINE: dict[str, Any] = {**DECLINE, "initiator": "customer"}


def changed(before: str, after: str) -> SubscriptionChanged:
    return SubscriptionChanged(**MONTHLY, previous_status=before, status=after)


def plan_changed(status: str) -> PlanChanged:
    return PlanChanged(
        **YEARLY,
        status=status,
        previous_plan_id="plus",
        previous_amount_minor=999,
        previous_interval="month",
    )


@pytest.mark.parametrize(
    ("event", "amounts"),
    [
        (PlayerLoggedIn(player_id=ID), {"activity": 1}),
        (
            DailyRewardClaimed(
                player_id=ID, reward_day=date(2026, 3, 1), xp=50, coins=10, streak=1
            ),
            {"rewards": 1, "reward_xp": 50, "reward_coins": 10},
        ),
        (LevelReached(player_id=ID, previous_level=2, level=5), {"level_ups": 3}),
        (AchievementUnlocked(player_id=ID, achievement_id="novice"), None),
        (PaymentSucceeded(**PAYMENT), {"paid_minor": 999}),
        (RefundIssued(**PAYMENT, reason="surplus"), {"returned_minor": 999}),
        (ChargebackReceived(**PAYMENT), {"returned_minor": 999}),
        (DisputeResolved(**INVOICE, resolution="won"), {"returned_minor": -999}),
        (DisputeResolved(**INVOICE, resolution="lost"), None),
        (PaymentFailed(**DECLINE, failures=1), {"dunning_entered": 1}),
        (PaymentFailed(**DECLINE, failures=2), None),
        # A person's own attempt leaves the count as it was.
        (PaymentFailed(**OWN_DECLINE, failures=1), None),
        (InvoicePaid(**INVOICE, failures=0, initiator="cycle"), None),
        (InvoicePaid(**INVOICE, failures=2, initiator="customer"), {"dunning_recovery": 1}),
        (SubscriptionStarted(**MONTHLY, status="trialing", trial_end=AT), None),
        (changed("trialing", "active"), {"subscribers": 1, "yearly_minor": 11988}),
        (changed("active", "past_due"), None),
        (
            changed("past_due", "canceled"),
            {"subscribers": -1, "churned": 1, "yearly_minor": -11988},
        ),
        (changed("trialing", "canceled"), None),
        (plan_changed("active"), {"yearly_minor": 9990 - 11988}),
        (plan_changed("trialing"), None),
    ],
)
def test_a_fact_adds_to_measures_by_itself(event: Event, amounts: dict[str, int] | None) -> None:
    found = counted(event)
    assert (found and found.amounts) == amounts


@pytest.mark.parametrize(
    ("metric", "before", "buckets", "values"),
    [
        ("rewards", {"rewards": 7}, [{"rewards": 2}, {}], [2, 0]),
        ("revenue", {}, [{"paid_minor": 500, "returned_minor": 700}, {}], [-200, 0]),
        # A stock stays where nothing happens; 18 / 12 is 1.5, and rounded half up.
        ("mrr", {"yearly_minor": 12}, [{"yearly_minor": 6}, {}, {"yearly_minor": -1}], [2, 2, 1]),
        ("subscribers", {"subscribers": 3}, [{}, {"subscribers": -1}], [3, 2]),
        (
            "churn",
            {},
            [{"subscribers": 3}, {"subscribers": -1, "churned": 1}, {}],
            [None, 0.333333, 0.0],
        ),
        (
            "recovery_rate",
            {"dunning_entered": 9},
            [{"dunning_entered": 4, "dunning_recovered": 3}, {}],
            [0.75, None],
        ),
    ],
)
def test_a_metric_follows_from_its_measures(
    metric: AnalyticsMetric,
    before: dict[str, int],
    buckets: list[dict[str, int]],
    values: list[float | None],
) -> None:
    starts = [AT + timedelta(days=number) for number in range(len(buckets))]
    found = series(METRICS[metric], starts, before, dict(zip(starts, buckets, strict=True)))
    assert [value for _, value in found] == values


def test_a_day_is_received_an_hour_after_its_end() -> None:
    assert received_until(AT + timedelta(minutes=59)) == AT - timedelta(days=1)
    assert received_until(AT + timedelta(minutes=60)) == AT
    at = AT + timedelta(hours=5, minutes=4, seconds=3)
    assert bucket_start(at, "hour") == AT + timedelta(hours=5)
    assert bucket_start(at, "day") == AT
