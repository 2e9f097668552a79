"""Which renewals a run starts, what it ends before, and that nobody is looked at in vain."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.messages.billing import BySubscription, SubscriptionChanged
from shared.messages.workflows import StartCustomer
from tests.integration.customer.firm import Firm


async def ended_once(firm: Firm) -> None:
    """One event, one notice, one cleanup."""
    changes = await firm.harness.events(SubscriptionChanged)
    assert [each.status for each in changes].count("canceled") == 1
    assert (await firm.notices()).count("cancellation") == 1
    assert len(await firm.harness.instances("subscription_cleanup")) == 1


async def test_what_ends_with_its_period_ends_before_it_is_billed(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.cancel(subscription_id, at_period_end=True)
    await firm.harness.advance_to(await firm.period_end(subscription_id))
    run = await firm.run(customer_id)
    assert (run.output.canceled, run.output.renewals) == ((subscription_id,), ())
    await firm.run(customer_id)
    subscription = await firm.subscription(subscription_id)
    assert (subscription["status"], subscription["cancel_reason"]) == ("canceled", "period_end")
    assert await firm.count("invoices") == 1
    await ended_once(firm)


async def test_canceling_at_the_end_in_dunning_ends_it_at_once_even_where_its_renewal_is_paused(
    firm: Firm,
) -> None:
    _, subscription_id = await firm.owing()
    renewal = (await firm.harness.instances("renewal"))[-1]
    await renewal.pause()
    await firm.cancel(subscription_id, at_period_end=True)
    assert (await firm.subscription(subscription_id))["cancel_reason"] == "period_end"
    await renewal.resume()
    assert renewal.output.invoice == "uncollectible"
    await ended_once(firm)


@pytest.mark.parametrize("is_swept", [True], indirect=True)
async def test_one_that_is_to_go_on_is_looked_at_in_time_for_its_reminder(
    firm: Firm,
) -> None:
    _, subscription_id = await firm.subscriber()
    await firm.cancel(subscription_id, at_period_end=True)
    end = await firm.period_end(subscription_id)
    await firm.do("uncancel_subscription", BySubscription(subscription_id=subscription_id))
    assert await firm.next_look(subscription_id) == end - timedelta(days=7)
    await firm.harness.advance(minutes=10)
    assert await firm.next_look(subscription_id) == end - timedelta(days=7)


async def test_missed_periods_are_billed_oldest_first_and_one_at_a_time(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.harness.advance(days=100)
    for billed in (2, 3, 4):
        run = await firm.run(customer_id)
        assert len(run.output.renewals) == 1
        assert await firm.count("invoices") == billed
    assert (await firm.run(customer_id)).output.renewals == ()
    periods = await firm.harness.rows(
        "SELECT period_start, period_end, state FROM invoices ORDER BY opened_at, period_start"
    )
    assert [end for _, end, _ in periods[:-1]] == [start for start, _, _ in periods[1:]]
    assert {state for _, _, state in periods} == {"paid"}
    assert await firm.period_end(subscription_id) > firm.now


async def test_a_missed_period_that_is_declined_keeps_the_next_one_waiting(firm: Firm) -> None:
    customer_id, _ = await firm.owing()
    await firm.harness.advance(days=29)
    for _ in range(2):
        assert (await firm.run(customer_id)).output.renewals == ()
    assert await firm.harness.rows("SELECT count(*) FROM invoices WHERE state = 'open'") == [(1,)]


async def test_of_a_hundred_customers_each_due_subscription_is_charged_once_and_no_other(
    firm: Firm,
) -> None:
    await firm.plan()
    customers = [await firm.customer() for _ in range(100)]
    due = customers[::2]
    for customer_id in customers:
        trial_days = 3 if customer_id in due else 30
        await firm.subscribe(customer_id, trial_days=trial_days)
    await firm.harness.advance(days=5)
    first = await firm.run(due[0])
    assert len(first.output.renewals) == 1
    assert await firm.charges() == {due[0]: 1}
    for customer_id in [*customers, *due[:10]]:
        await firm.trigger(customer_id)
    assert await firm.charges() == dict.fromkeys(due, 1)
    assert await firm.harness.rows("SELECT sum(amount_minor)::int FROM invoices") == [(50 * 999,)]


async def test_runs_that_overlap_charge_once(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.harness.advance_to(await firm.period_end(subscription_id))
    starts = [StartCustomer(id=f"run-{n}", customer_id=customer_id) for n in range(10)]
    firm.harness.freeze_at("after commit")
    for start in starts:
        await firm.harness.start(start)
    assert await firm.charges() == {customer_id: 2}
    assert await firm.count("invoices") == 2


async def test_a_renewal_that_stopped_is_told_once_and_looked_at_no_more_than_daily(
    firm: Firm,
) -> None:
    customer_id, subscription_id = await firm.owing()
    renewal = (await firm.harness.instances("renewal"))[-1]
    await renewal.terminate()
    for _ in range(3):
        assert (await firm.run(customer_id)).output.renewals == ()
        assert await firm.next_look(subscription_id) == firm.now + timedelta(days=1)
    assert (await firm.notices()).count("renewal_stopped") == 1
    # Who gives another payment method asks for an attempt, which somebody has to make.
    await firm.pay_by(customer_id, "pm_card_visa")
    assert await firm.status(subscription_id) == "active"
    assert await firm.charges() == {customer_id: 2}


@pytest.mark.parametrize("days", [1, 20])
async def test_while_the_provider_is_away_for_weeks_nobody_is_looked_at_in_vain(
    firm: Firm, days: int
) -> None:
    customer_id, subscription_id = await firm.subscriber()
    end = await firm.period_end(subscription_id)
    await firm.sandbox.go_down(end + timedelta(days=40))
    await firm.harness.advance_to(end)
    await firm.run(customer_id)
    await firm.harness.advance(days=days)
    await firm.run(customer_id)
    assert await firm.status(subscription_id) == "active"
    assert await firm.next_look(subscription_id) == firm.now + timedelta(days=1)


async def test_a_renewal_that_fails_before_its_invoice_is_told_and_not_started_again_and_again(
    firm: Firm,
) -> None:
    await firm.plan()
    customer_id = await firm.customer()
    subscription_id = await firm.subscribe(customer_id, trial_days=3)
    await firm.harness.advance(days=3)
    firm.harness.fail("decide", times=100)
    assert len((await firm.run(customer_id)).output.renewals) == 1
    await firm.harness.advance(hours=1)
    for _ in range(2):
        assert (await firm.run(customer_id)).output.renewals == ()
        assert await firm.next_look(subscription_id) == firm.now + timedelta(days=1)
    [renewal] = await firm.harness.instances("renewal")
    assert renewal.status == "errored"
    assert (await firm.notices()).count("renewal_stopped") == 1


async def test_use_that_comes_during_a_run_waits_for_it_and_the_sweep_passes_by(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    async with firm.harness.connection() as somebody:
        await firm.locked(somebody)
        running = asyncio.create_task(firm.use(customer_id, 3))
        sweep = await firm.sweep()
        assert sweep.output.customers == 0
        await somebody.execute("COMMIT")
    await running
    look_at = await firm.next_look(subscription_id)
    assert look_at is not None
    assert look_at - firm.now <= timedelta(days=1)
