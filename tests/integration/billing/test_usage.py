"""Use, as a studio's systems report it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.billing.models import Metric
from shared.messages.billing import (
    ByCustomer,
    CustomerUsage,
    Limits,
    Subscription,
    UsageReported,
)
from tests.integration.billing.studio import Studio


@pytest.fixture
async def subscription(studio: Studio) -> Subscription:
    """One that is paid for, with a limit of 10 calls and 100 bytes."""
    await studio.plan(limits=Limits(api_calls=10, storage_bytes=100))
    return await studio.find((await studio.paid(plan_id="pro")).subscription_id)


async def report(
    studio: Studio,
    customer_id: UUID,
    quantity: int,
    *,
    metric: Metric = "api_calls",
    event_id: str | None = None,
    at: datetime | None = None,
) -> dict[str, int]:
    """Reports use; what is used of each metric then."""
    fact = UsageReported(
        event_id=event_id or str(uuid4()),
        customer_id=customer_id,
        metric=metric,
        quantity=quantity,
        at=at,
    )
    usage = await studio.do(CustomerUsage, "usage", fact)
    asked = ByCustomer(customer_id=customer_id)
    assert await studio.ask(CustomerUsage, "customer_usage", asked) == usage
    return {each.metric: each.used for each in usage.usage}


async def test_calls_add_up_and_each_event_counts_once(
    studio: Studio, subscription: Subscription
) -> None:
    customer_id = subscription.customer_id
    await report(studio, customer_id, 3, event_id="one")
    await report(studio, customer_id, 3, event_id="one")
    assert await report(studio, customer_id, 4) == {"api_calls": 7, "storage_bytes": 0}
    asked = ByCustomer(customer_id=customer_id)
    [calls, storage] = (await studio.ask(CustomerUsage, "customer_usage", asked)).usage
    assert (calls.limit, storage.limit) == (10, 100)
    assert (calls.period_start, calls.period_end) == (
        subscription.current_period_start,
        subscription.current_period_end,
    )


async def test_of_storage_the_last_value_by_its_time_wins(
    studio: Studio, subscription: Subscription
) -> None:
    customer_id, hour = subscription.customer_id, timedelta(hours=1)
    await report(studio, customer_id, 50, metric="storage_bytes")
    late = await report(studio, customer_id, 90, metric="storage_bytes", at=studio.now - hour)
    assert late["storage_bytes"] == 50
    studio.clock.advance(hour)
    assert (await report(studio, customer_id, 20, metric="storage_bytes"))["storage_bytes"] == 20


async def test_use_belongs_to_the_period_it_happened_in(
    studio: Studio, subscription: Subscription
) -> None:
    customer_id, end = subscription.customer_id, subscription.current_period_end
    studio.clock.set(end - timedelta(seconds=1))
    assert (await report(studio, customer_id, 5))["api_calls"] == 5
    studio.clock.set(end + timedelta(hours=1))
    # The next period is not paid for yet, and has begun all the same.
    assert (await report(studio, customer_id, 2))["api_calls"] == 2
    late = await report(studio, customer_id, 7, at=end - timedelta(hours=1))
    assert late["api_calls"] == 2
    future = await report(studio, customer_id, 1, at=end + timedelta(days=90))
    assert future["api_calls"] == 3


async def test_a_limit_that_is_crossed_is_looked_at_at_once(
    studio: Studio, subscription: Subscription
) -> None:
    customer_id = subscription.customer_id
    midnight = studio.now.replace(hour=0) + timedelta(days=1)
    for quantity, look_at in ((9, midnight), (1, studio.now)):
        await studio.pool.execute("UPDATE subscriptions SET next_look_at = NULL")
        await report(studio, customer_id, quantity)
        assert await studio.pool.fetchval("SELECT next_look_at FROM subscriptions") == look_at
    await studio.pool.execute("UPDATE subscriptions SET next_look_at = NULL")
    await report(studio, customer_id, 1)
    assert await studio.pool.fetchval("SELECT next_look_at FROM subscriptions") == midnight


async def test_an_event_of_another_customer_is_refused(
    studio: Studio, subscription: Subscription
) -> None:
    await report(studio, subscription.customer_id, 3, event_id="one")
    fact = UsageReported(
        event_id="one", customer_id=await studio.customer(), metric="api_calls", quantity=1
    )
    refused = await studio.refusal("usage", fact)
    assert (refused.code, refused.status) == ("event_of_another_customer", 409)
    nobody = UsageReported(event_id="two", customer_id=uuid4(), metric="api_calls", quantity=1)
    assert (await studio.refusal("usage", nobody)).code == "customer_not_found"
