"""Subscriptions, as customers make and end them."""

from __future__ import annotations

from asyncio import gather
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.billing.models import Initiator
from services.billing.saga.state import Opened, Sent, Succeeded
from shared.messages.base import Message
from shared.messages.billing import (
    ByPlan,
    BySubscription,
    CancellationScheduled,
    CancellationWithdrawn,
    CancelSubscription,
    ChangePlan,
    CreateSubscription,
    Plan,
    PlanChanged,
    Subscription,
    SubscriptionChanged,
    SubscriptionHistory,
    SubscriptionStarted,
    UpdatePlan,
)
from shared.messages.problems import Refused
from shared.messages.workflows import StartCustomer, StartSubscriptionCleanup
from tests.integration.billing.studio import Studio


async def test_a_subscription_is_incomplete_until_its_first_payment(studio: Studio) -> None:
    subscription = await studio.subscription()
    assert subscription.status == "incomplete"
    assert subscription.current_period_end == subscription.current_period_start == studio.now
    assert subscription.trial_end is None
    assert await studio.find(subscription.id) == subscription
    assert studio.triggers[-1] == StartCustomer(
        id=f"subscription-{subscription.id}-v1", customer_id=subscription.customer_id
    )
    started = studio.events[-1]
    assert isinstance(started, SubscriptionStarted)
    assert (started.amount_minor, started.currency, started.interval) == (999, "EUR", "month")
    assert await next_look_at(studio, subscription) == studio.now


async def test_a_trial_ends_after_its_days_on_the_customers_own_clocks(studio: Studio) -> None:
    studio.clock.set(datetime(2026, 3, 1, 5, tzinfo=UTC))
    await studio.plan(trial_days=14)
    customer_id = await studio.customer(timezone="America/New_York", payment_method=None)
    subscription = await studio.subscription(plan_id="pro", customer_id=customer_id)
    assert subscription.status == "trialing"
    assert subscription.trial_end is not None
    assert subscription.trial_end == subscription.current_period_end
    # The clocks went forward on 8 March: it is one o'clock there.
    assert subscription.trial_end == datetime(2026, 3, 15, 5, tzinfo=UTC)
    look_at = await next_look_at(studio, subscription)
    assert look_at == subscription.trial_end - timedelta(days=7)
    none = await studio.refusal(
        "create_subscription",
        CreateSubscription(customer_id=customer_id, plan_id="pro", trial_days=0),
    )
    assert (none.code, none.status) == ("payment_method_required", 409)


async def test_the_same_id_is_refused(studio: Studio) -> None:
    subscription = await studio.subscription()
    again = CreateSubscription(
        id=subscription.id, customer_id=subscription.customer_id, plan_id="pro"
    )
    refused = await studio.refusal("create_subscription", again)
    assert (refused.code, refused.status) == ("subscription_exists", 409)
    assert len(await studio.subscriptions(subscription.customer_id)) == 1


async def test_a_plan_must_be_offered_in_the_customers_currency(studio: Studio) -> None:
    customer_id = await studio.customer()
    await studio.plan("yen", currency="JPY")
    await studio.plan("old")
    await studio.do(Plan, "update_plan", UpdatePlan(plan_id="old", active=False))
    for plan_id, code, status in (
        ("yen", "currency_mismatch", 422),
        ("old", "plan_inactive", 409),
        ("none", "plan_not_found", 404),
    ):
        request = CreateSubscription(customer_id=customer_id, plan_id=plan_id)
        refused = await studio.refusal("create_subscription", request)
        assert (refused.code, refused.status, refused.field) == (code, status, "planId")
    assert await studio.subscriptions(customer_id) == ()


async def test_a_change_of_plan_keeps_the_anchor_where_the_interval_stays(studio: Studio) -> None:
    invoice = await studio.paid()
    await studio.plan("big", price_minor=2000)
    before = await studio.find(invoice.subscription_id)

    changed = await change_plan(studio, before, "big")

    assert (changed.plan_id, changed.version) == ("big", before.version + 1)
    assert changed.current_period_end == before.current_period_end
    event = studio.events[-1]
    assert isinstance(event, PlanChanged)
    assert (event.previous_amount_minor, event.amount_minor) == (999, 2000)
    studio.clock.set(before.current_period_end)
    await studio.happen(before.id, Opened())
    next_invoice = await studio.last_invoice(before)
    assert (next_invoice.amount_minor, next_invoice.period_start) == (
        2000,
        before.current_period_end,
    )
    assert await change_plan(studio, before, "big") == await studio.find(before.id)
    await studio.plan("yen", currency="JPY")
    yen = ChangePlan(subscription_id=before.id, plan_id="yen")
    assert (await studio.refusal("change_plan", yen)).code == "currency_mismatch"


@pytest.mark.parametrize("is_open", [False, True], ids=["between invoices", "with an open one"])
async def test_another_interval_begins_where_the_last_period_ends(
    studio: Studio, is_open: bool
) -> None:
    invoice = await studio.paid()
    await studio.plan("year", interval="year", price_minor=9900)
    before = await studio.find(invoice.subscription_id)
    if is_open:
        studio.clock.set(before.current_period_end)
        await studio.happen(before.id, Opened())
        month = await studio.last_invoice(before)
        assert month.amount == "EUR 9.99"
    await change_plan(studio, before, "year")
    if is_open:
        await studio.happen(before.id, Sent(number=1, initiator=Initiator.CYCLE), Succeeded())
    paid = await studio.find(before.id)
    studio.clock.set(paid.current_period_end)
    await studio.happen(before.id, Opened())
    year = await studio.last_invoice(before)
    assert year.amount_minor == 9900
    assert year.period_start == paid.current_period_end
    months = 2 if is_open else 1
    assert (year.period_start.month, year.period_end.month) == (3 + months, 3 + months)
    assert year.period_end.year - year.period_start.year == 1


async def test_a_cancel_ends_it_once(studio: Studio) -> None:
    subscription = await studio.subscription()
    request = CancelSubscription(subscription_id=subscription.id)

    canceled = await studio.do(Subscription, "cancel_subscription", request)

    assert (canceled.status, canceled.cancel_reason) == ("canceled", "requested")
    assert canceled.canceled_at == studio.now
    cleanup = StartSubscriptionCleanup(
        id=f"cleanup-{subscription.id}",
        start_at=studio.now + timedelta(days=30),
        subscription_id=subscription.id,
        canceled_at=studio.now,
    )
    assert studio.triggers[-1] == cleanup
    told = list(studio.events)
    studio.clock.advance(timedelta(hours=1))
    assert await studio.do(Subscription, "cancel_subscription", request) == canceled
    at_end = CancelSubscription(subscription_id=subscription.id, at_period_end=True)
    assert await studio.do(Subscription, "cancel_subscription", at_end) == canceled
    assert studio.events == told
    assert isinstance(told[-1], SubscriptionChanged)
    assert studio.triggers.count(cleanup) == 1
    assert [name for name, _ in await studio.notices()] == ["cancellation"]


async def test_many_cancels_at_once_are_one(studio: Studio) -> None:
    subscription = await studio.subscription()
    request = CancelSubscription(subscription_id=subscription.id)
    answers = await gather(
        *(studio.do(Subscription, "cancel_subscription", request) for _ in range(6))
    )
    assert {answer.version for answer in answers} == {2}
    changes = [event for event in studio.events if isinstance(event, SubscriptionChanged)]
    assert len(changes) == 1
    cleanups = [each for each in studio.triggers if isinstance(each, StartSubscriptionCleanup)]
    assert len(cleanups) == 1
    assert len(await studio.notices()) == 1


async def test_a_plan_is_deleted_or_subscribed_to_and_never_both(studio: Studio) -> None:
    customer_id = await studio.customer()
    for number in range(5):
        plan = await studio.plan(f"plan{number}")
        request = CreateSubscription(customer_id=customer_id, plan_id=plan.id)
        outcomes = await gather(
            studio.do(Subscription, "create_subscription", request),
            studio.do(Plan, "delete_plan", ByPlan(plan_id=plan.id)),
            return_exceptions=True,
        )
        refusals = [each.code for each in outcomes if isinstance(each, Refused)]
        assert refusals in (["plan_in_use"], ["plan_not_found"])
        assert len([each for each in outcomes if isinstance(each, Message)]) == 1


async def test_nothing_leaves_canceled(studio: Studio) -> None:
    subscription = await studio.subscription()
    request = CancelSubscription(subscription_id=subscription.id)
    canceled = await studio.do(Subscription, "cancel_subscription", request)
    uncancel = BySubscription(subscription_id=subscription.id)
    change = ChangePlan(subscription_id=subscription.id, plan_id="pro")
    for name, message in (("uncancel_subscription", uncancel), ("change_plan", change)):
        refused = await studio.refusal(name, message)
        assert (refused.code, refused.status) == ("subscription_canceled", 409)
    assert await studio.find(subscription.id) == canceled


async def test_an_end_with_the_period_can_be_withdrawn(studio: Studio) -> None:
    subscription_id = (await studio.paid()).subscription_id
    at_end = CancelSubscription(subscription_id=subscription_id, at_period_end=True)
    scheduled = await studio.do(Subscription, "cancel_subscription", at_end)
    assert (scheduled.status, scheduled.cancel_at_period_end) == ("active", True)
    assert await studio.do(Subscription, "cancel_subscription", at_end) == scheduled
    assert studio.messages == []

    uncancel = BySubscription(subscription_id=subscription_id)
    withdrawn = await studio.do(Subscription, "uncancel_subscription", uncancel)

    assert withdrawn.cancel_at_period_end is False
    assert await studio.do(Subscription, "uncancel_subscription", uncancel) == withdrawn
    told = [type(event) for event in studio.events[-2:]]
    assert told == [CancellationScheduled, CancellationWithdrawn]
    history = await studio.ask(SubscriptionHistory, "subscription_events", uncancel)
    assert [(each.name, each.previous_status, each.status) for each in history.entries] == [
        ("started", "none", "incomplete"),
        ("paid", "incomplete", "active"),
        ("cancellation_scheduled", "active", "active"),
        ("cancellation_withdrawn", "active", "active"),
    ]


async def test_a_renewal_under_way_hears_that_it_is_to_end(studio: Studio) -> None:
    invoice = await studio.charged()
    at_end = CancelSubscription(subscription_id=invoice.subscription_id, at_period_end=True)
    await studio.do(Subscription, "cancel_subscription", at_end)
    [signal] = studio.messages
    assert signal.subject.startswith(f"workflows.renewal.signal.renewal-{invoice.subscription_id}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("subscription", BySubscription(subscription_id=uuid4())),
        ("subscription_events", BySubscription(subscription_id=uuid4())),
        ("cancel_subscription", CancelSubscription(subscription_id=uuid4())),
        ("uncancel_subscription", BySubscription(subscription_id=uuid4())),
        ("change_plan", ChangePlan(subscription_id=uuid4(), plan_id="pro")),
    ],
)
async def test_an_unknown_subscription_is_not_found(
    studio: Studio, name: str, message: Message
) -> None:
    refused = await studio.refusal(name, message)
    assert (refused.code, refused.status) == ("subscription_not_found", 404)


async def change_plan(studio: Studio, subscription: Subscription, plan_id: str) -> Subscription:
    request = ChangePlan(subscription_id=subscription.id, plan_id=plan_id)
    return await studio.do(Subscription, "change_plan", request)


async def next_look_at(studio: Studio, subscription: Subscription) -> datetime | None:
    look_at: datetime | None = await studio.pool.fetchval(
        "SELECT next_look_at FROM subscriptions WHERE id = $1", subscription.id
    )
    return look_at
