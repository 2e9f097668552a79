"""However often customers are triggered, what is due is charged once, and nothing else is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from shared.messages.workflows import StartCustomer
from shared.runtime.clocks import SystemClock
from tests import books
from tests.integration.charges.house import House
from tests.subscribers import customers, subscriptions

LATELY = timedelta(minutes=5)


@pytest.mark.rule("billing-one-charge")
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
    assert await house.complaints([payment]) == []
    assert await house.pool.fetchval("SELECT count(*) FROM workflow_instances") == 51


@pytest.mark.rule("billing-this-customer")
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
    assert await house.complaints(found) == []


async def test_the_witness_sees_what_the_books_have_otherwise(house: House) -> None:
    now = SystemClock().now()
    async with house.pool.acquire() as connection:
        [customer] = await customers(connection, 1, now)
        await subscriptions(connection, [customer], now - LATELY, now)
    await house.start([StartCustomer(id="run", customer_id=customer)])
    house.open(replicas=1)
    await house.until_all_ended(2)
    [payment] = await books.booked(house.pool)

    for wrong in (
        [],
        [payment, replace(payment, key="another")],
        [replace(payment, state="pending")],
        [replace(payment, amount_minor=payment.amount_minor + 1)],
        [replace(payment, currency="USD")],
        [replace(payment, refunded_minor=1)],
        [replace(payment, refunded_minor=payment.amount_minor)],
        [payment, replace(payment, key="another", period=now.isoformat())],
    ):
        assert await house.complaints(wrong) != [], wrong
    assert await house.complaints([payment]) == []
