"""A customer's run has the reference's four steps, whatever there is to do."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from shared.testing.handle import Handle
from tests.integration.customer.firm import DECLINED, STEPS, Firm


def steps_of(run: Handle) -> tuple[str, ...]:
    """Its steps without the provider's, which are there where there is something to tell it."""
    return tuple(each for each in run.completed if each in STEPS)


async def test_a_customer_without_a_subscription_has_all_steps(firm: Firm) -> None:
    run = await firm.run(await firm.customer())
    assert steps_of(run) == STEPS
    assert (run.output.told, run.output.canceled, run.output.renewals) == ((), (), ())


async def test_each_status_has_all_steps_and_its_own_next_look(firm: Firm) -> None:
    await firm.plan()
    declined, payer = await firm.customer(DECLINED), await firm.customer()
    incomplete = await firm.subscribe(declined)
    trialing = await firm.subscribe(payer, trial_days=14)
    active = await firm.subscribe(payer)
    canceled = await firm.subscribe(payer)
    await firm.cancel(canceled, at_period_end=False)
    assert [await firm.status(each) for each in (incomplete, trialing, active, canceled)] == [
        "incomplete",
        "trialing",
        "active",
        "canceled",
    ]
    for customer_id in (declined, payer):
        run = await firm.run(customer_id)
        assert steps_of(run) == STEPS
    week = timedelta(days=7)
    assert await firm.next_look(incomplete) == firm.now + timedelta(days=1)
    assert await firm.next_look(trialing) == firm.now + week
    assert await firm.next_look(active) == await firm.period_end(active) - week
    assert await firm.next_look(canceled) is None


async def test_a_past_due_customer_has_all_steps_and_is_looked_at_for_the_next_notice(
    firm: Firm,
) -> None:
    customer_id, subscription_id = await firm.owing()
    run = await firm.run(customer_id)
    assert steps_of(run) == STEPS
    assert await firm.next_look(subscription_id) == firm.now + timedelta(days=1)


async def test_a_customer_who_is_not_there_ends_the_run_at_once(firm: Firm) -> None:
    run = await firm.run(uuid4())
    assert (run.status, run.error.name) == ("errored", "customer_not_found")
    assert run.step("subscription_status").attempts == 1
