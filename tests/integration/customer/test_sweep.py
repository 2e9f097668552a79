"""The sweep: who is found, how often, and that two of them are harmless."""

from __future__ import annotations

from datetime import timedelta

from shared.messages.workflows import StartBillingSweep
from tests.integration.customer.firm import Firm


async def on_trial(firm: Firm, count: int, days: int) -> None:
    """Customers whose trial ends in so many days."""
    for _ in range(count):
        await firm.subscribe(await firm.customer(), trial_days=days)


async def test_only_customers_with_something_due_are_started_in_as_many_batches_as_it_takes(
    firm: Firm,
) -> None:
    await firm.plan()
    await on_trial(firm, 8, days=10)
    await on_trial(firm, 5, days=60)
    runs = await firm.runs()
    await firm.harness.advance(days=3)
    sweep = await firm.sweep()
    assert sweep.output.customers == 8
    assert sweep.completed == ("sweep",) * 4
    assert await firm.runs() == runs + 8
    assert await firm.notices() == ["renewal_reminder"] * 8
    assert (await firm.sweep()).output.customers == 0


async def test_the_same_sweep_delivered_again_and_another_at_its_time_start_nobody_twice(
    firm: Firm,
) -> None:
    await firm.plan()
    await on_trial(firm, 4, days=10)
    runs = await firm.runs()
    await firm.harness.advance(days=3)
    sweep = await firm.harness.start(StartBillingSweep(id="at-noon"))
    await firm.harness.redeliver(sweep, 2)
    await firm.harness.start(StartBillingSweep(id="at-noon-too"))
    assert await firm.runs() == runs + 4


async def test_a_sweep_cut_off_between_its_batches_goes_on_with_the_rest(firm: Firm) -> None:
    await firm.plan()
    await on_trial(firm, 7, days=10)
    runs = await firm.runs()
    await firm.harness.advance(days=3)
    firm.harness.crash_at("after commit")
    sweep = await firm.sweep()
    assert sweep.status == "complete"
    assert await firm.runs() == runs + 7


async def test_a_customer_whose_run_fails_is_taken_again_after_an_hour_and_not_before(
    firm: Firm,
) -> None:
    _, subscription_id = await firm.subscriber()
    await firm.harness.advance_to(await firm.period_end(subscription_id))
    runs = await firm.runs()
    firm.harness.fail("subscription_status", times=100)
    await firm.sweep()
    await firm.harness.advance(minutes=59)
    assert (await firm.sweep()).output.customers == 0
    assert await firm.runs() == runs + 1
    await firm.harness.advance(minutes=1)
    assert (await firm.sweep()).output.customers == 1


async def test_those_that_somebody_is_at_work_on_are_left_to_the_next_sweep(firm: Firm) -> None:
    _, subscription_id = await firm.subscriber()
    end = await firm.period_end(subscription_id)
    await firm.harness.advance_to(end - timedelta(days=7))
    async with firm.harness.connection() as somebody:
        await firm.locked(somebody)
        assert (await firm.sweep()).output.customers == 0
        await somebody.execute("COMMIT")
    assert (await firm.sweep()).output.customers == 1
