"""What is forgotten of a customer who left, and what the books keep."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg
import pytest

from services.billing.store.cleanup import CleanupStore
from shared.messages.workflows import StartSubscriptionCleanup
from tests.integration.customer.firm import Firm

KEPT = ("invoices", "payment_attempts", "ledger_entries", "subscription_events")
GONE = ("usage_events", "usage_gauges", "usage_days", "notices", "notice_letters")


async def contact(firm: Firm, customer_id: UUID) -> tuple[object, ...]:
    """Who the customer is."""
    [row] = await firm.harness.rows(
        "SELECT email, external_id, payment_method FROM customers WHERE id = $1", customer_id
    )
    return row


async def left(firm: Firm) -> tuple[UUID, UUID]:
    """A customer with some use who has just canceled."""
    await firm.plan()
    customer_id = await firm.customer(external_id="crm-1")
    subscription_id = await firm.subscribe(customer_id)
    await firm.use(customer_id, 5)
    await firm.use(customer_id, 5, metric="storage_bytes")
    await firm.harness.advance(days=1)
    await firm.run(customer_id)
    await firm.cancel(subscription_id, at_period_end=False)
    return customer_id, subscription_id


async def test_thirty_days_after_the_end_the_customer_is_forgotten_and_the_books_stay(
    firm: Firm,
) -> None:
    customer_id, subscription_id = await left(firm)
    kept = [await firm.count(table) for table in KEPT]
    assert 0 not in kept
    await firm.harness.advance(days=30, seconds=-1)
    assert await contact(firm, customer_id) == ("ada@example.org", "crm-1", "pm_card_visa")
    await firm.harness.advance(seconds=1)
    [cleanup] = await firm.harness.instances("subscription_cleanup")
    assert (cleanup.output.usage_rows, cleanup.output.notices) == (5, 1)
    assert await contact(firm, customer_id) == (None, None, None)
    assert [await firm.count(table) for table in GONE] == [0] * len(GONE)
    assert [await firm.count(table) for table in KEPT] == kept
    assert (await firm.subscription(subscription_id))["cleaned_at"] == firm.now


async def test_another_instant_of_canceling_and_a_second_cleanup_change_nothing(
    firm: Firm,
) -> None:
    customer_id, subscription_id = await left(firm)
    other = StartSubscriptionCleanup(
        subscription_id=subscription_id, canceled_at=firm.now.replace(year=2020)
    )
    skipped = await firm.harness.start(other)
    assert (skipped.status, skipped.completed) == ("complete", ())
    assert not skipped.output.anonymised
    await firm.harness.advance(days=30)
    again = await firm.harness.start(
        StartSubscriptionCleanup(
            subscription_id=subscription_id,
            canceled_at=(await firm.subscription(subscription_id))["canceled_at"],
        )
    )
    assert again.completed == ()
    assert await contact(firm, customer_id) == (None, None, None)


async def test_a_customer_with_a_subscription_that_goes_on_is_not_forgotten(firm: Firm) -> None:
    customer_id, _ = await left(firm)
    second = await firm.subscribe(customer_id)
    await firm.harness.advance(days=30)
    assert (await contact(firm, customer_id))[0] == "ada@example.org"
    assert await firm.count("usage_events") == 2
    await firm.cancel(second, at_period_end=False)
    await firm.harness.advance(days=30)
    assert await contact(firm, customer_id) == (None, None, None)
    assert await firm.count("usage_events") == 0


async def test_of_two_cleanups_at_once_the_second_forgets_the_customer(firm: Firm) -> None:
    customer_id, first = await left(firm)
    second = await firm.subscribe(customer_id)
    await firm.cancel(second, at_period_end=False)
    canceled_at: datetime = (await firm.subscription(second))["canceled_at"]
    async with firm.harness.connection() as one, firm.harness.connection() as other:
        await one.execute("BEGIN")
        ended = await CleanupStore(one, first).lock(canceled_at)
        assert ended is not None
        assert ended.has_others
        await other.execute("SET lock_timeout = 1")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await CleanupStore(other, second).lock(canceled_at)
        await CleanupStore(one, first).mark(firm.now)
        await one.execute("COMMIT")
        ended = await CleanupStore(other, second).lock(canceled_at)
        assert ended is not None
        assert not ended.has_others


async def test_a_cleanup_that_is_missing_is_scheduled_by_the_next_run(firm: Firm) -> None:
    customer_id, subscription_id = await left(firm)
    async with firm.harness.connection() as connection:
        await connection.execute("DELETE FROM workflow_instances WHERE kind LIKE '%cleanup'")
    for _ in range(2):
        await firm.run(customer_id)
    [cleanup] = await firm.harness.instances("subscription_cleanup")
    assert cleanup.id == f"cleanup-{subscription_id}"
    assert cleanup.wake_at is not None
    await firm.harness.advance_to(cleanup.wake_at)
    assert await contact(firm, customer_id) == (None, None, None)
