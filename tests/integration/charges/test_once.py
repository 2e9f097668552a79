"""However often customers are triggered, what is due is charged once, and nothing else is."""

from __future__ import annotations

from datetime import timedelta

from shared.messages.workflows import StartCustomer
from shared.runtime.clocks import SystemClock
from tests import books
from tests.integration.charges.house import House
from tests.subscribers import customers, subscriptions

LATELY = timedelta(minutes=5)


async def test_fifty_runs_of_one_customer_at_once_charge_once(house: House) -> None:
    now = SystemClock().now()
    async with house.pool.acquire() as connection:
        [customer] = await customers(connection, 1, now)
        [due] = await subscriptions(connection, [customer], now - LATELY, now)
    await house.start([StartCustomer(id=f"run-{n}", customer_id=customer) for n in range(50)])
    house.open(replicas=2)

    await house.until_all_ended(51)

    [payment] = await books.booked(house.pool)
    assert (payment.subscription, payment.state) == (str(due), "succeeded")
    assert payment.requests == 1
    assert await books.complaints(house.pool, [payment], now) == []
    assert await house.pool.fetchval("SELECT count(*) FROM workflow_instances") == 51


async def test_a_hundred_customers_are_charged_for_what_is_due_and_no_other_customer_is(
    house: House,
) -> None:
    now = SystemClock().now()
    async with house.pool.acquire() as connection:
        triggered = await customers(connection, 100, now)
        others = await customers(connection, 50, now)
        due = await subscriptions(connection, triggered, now - LATELY, now)
        await subscriptions(connection, triggered, now + timedelta(days=20), now)
        await subscriptions(connection, others, now - LATELY, now)
    await house.start(
        [StartCustomer(id=f"{each}-{n}", customer_id=each) for n in range(2) for each in triggered]
    )
    house.open(replicas=2)

    await house.until_all_ended(300)

    found = await books.booked(house.pool)
    assert {each.subscription for each in found} == {str(each) for each in due}
    assert len(found) == len(due)
    assert await house.pool.fetchval("SELECT count(*) FROM invoices") == len(due)
    assert await books.complaints(house.pool, found, now) == []
