"""Use against a plan's limits, and the days that a run closes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.messages.billing import Limits
from tests.integration.customer.firm import Firm


async def limited(firm: Firm, api_calls: int | None, storage_bytes: int | None = None) -> UUID:
    """A customer whose plan has these limits."""
    await firm.plan(limits=Limits(api_calls=api_calls, storage_bytes=storage_bytes))
    customer_id = await firm.customer()
    await firm.subscribe(customer_id)
    return customer_id


async def days(firm: Firm) -> list[tuple[Any, ...]]:
    """The rolled up days."""
    return [
        tuple(row)
        for row in await firm.harness.rows(
            "SELECT metric, day, value FROM usage_days ORDER BY metric, day"
        )
    ]


@pytest.mark.rule("billing-usage")
@pytest.mark.parametrize(
    ("limit", "used", "told"),
    [
        (1000, 900, ()),
        (1000, 901, ("usage_warning",)),
        (1000, 999, ("usage_warning",)),
        (1000, 1000, ("usage_exceeded",)),
        (None, 10**12, ()),
        (0, 0, ()),
        (0, 1, ("usage_exceeded",)),
    ],
)
async def test_use_near_a_limit_or_at_it_is_told(
    firm: Firm, limit: int | None, used: int, told: tuple[str, ...]
) -> None:
    customer_id = await limited(firm, limit)
    if used:
        await firm.use(customer_id, used)
    run = await firm.run(customer_id)
    assert run.output.told == told


@pytest.mark.rule("billing-usage")
async def test_each_is_told_once_a_metric_and_period(firm: Firm) -> None:
    customer_id = await limited(firm, 1000, 1000)
    for quantity in (901, 50, 49, 1000):
        await firm.use(customer_id, quantity)
        await firm.use(customer_id, min(quantity + 900, 1000), metric="storage_bytes")
        for _ in range(2):
            await firm.run(customer_id)
    assert sorted(await firm.notices()) == [
        "storage_warning",
        "usage_exceeded",
        "usage_exceeded",
        "usage_warning",
    ]
    await firm.harness.advance(days=32)
    await firm.run(customer_id)
    # What is stored counts in each period, calls count in theirs.
    rows = await firm.harness.rows("SELECT data->>'metric', data->>'used' FROM notices")
    assert rows[-1] == ("storage_bytes", "1000")
    assert len(rows) == 5


@pytest.mark.rule("billing-usage")
async def test_of_storage_the_last_value_by_its_time_counts_and_of_calls_each_event_once(
    firm: Firm,
) -> None:
    customer_id = await limited(firm, 1000, 1000)
    hour = timedelta(hours=1)
    await firm.harness.advance(days=1)
    await firm.use(customer_id, 10, metric="storage_bytes", at=firm.now - hour)
    await firm.use(customer_id, 999, metric="storage_bytes", at=firm.now - 2 * hour)
    for _ in range(2):
        await firm.use(customer_id, 500, event_id="once")
    run = await firm.run(customer_id)
    assert run.output.told == ()


async def test_a_day_is_rolled_up_when_it_is_over_and_twice_gives_the_same(firm: Firm) -> None:
    customer_id = await limited(firm, None)
    today = firm.now.astimezone(UTC).date()
    for quantity in (3, 4):
        await firm.use(customer_id, quantity)
        await firm.use(customer_id, quantity, metric="storage_bytes")
        await firm.harness.advance(minutes=1)
    assert (await firm.run(customer_id)).output.closed_days == 0
    await firm.harness.advance_to(midnight_after(today))
    assert (await firm.run(customer_id)).output.closed_days == 2
    closed = await days(firm)
    assert closed == [("api_calls", today, 7), ("storage_bytes", today, 4)]
    await firm.run(customer_id)
    assert await days(firm) == closed


async def test_a_late_event_opens_its_day_again(firm: Firm) -> None:
    customer_id = await limited(firm, None)
    first = firm.now
    await firm.use(customer_id, 3)
    await firm.harness.advance(days=2)
    await firm.run(customer_id)
    await firm.use(customer_id, 4, at=first)
    await firm.harness.advance(days=1)
    assert (await firm.run(customer_id)).output.closed_days == 1
    assert await days(firm) == [("api_calls", first.astimezone(UTC).date(), 7)]
    await firm.harness.advance(days=1)
    assert (await firm.run(customer_id)).output.closed_days == 0


@pytest.mark.parametrize("is_swept", [True], indirect=True)
async def test_the_sweep_closes_a_day_by_itself_and_tells_a_crossed_limit_within_minutes(
    firm: Firm,
) -> None:
    customer_id = await limited(firm, 1000, 1000)
    today = firm.now.astimezone(UTC).date()
    await firm.use(customer_id, 1000)
    await firm.harness.advance(minutes=5)
    assert await firm.notices() == ["usage_exceeded"]
    # The same notice, of the other metric.
    await firm.use(customer_id, 1000, metric="storage_bytes")
    await firm.harness.advance(minutes=5)
    assert await firm.notices() == ["usage_exceeded"] * 2
    runs = await firm.runs()
    await firm.harness.advance_to(midnight_after(today) - timedelta(seconds=1))
    assert await firm.runs() == runs
    await firm.harness.advance(minutes=5)
    assert len(await days(firm)) == 2


def midnight_after(day: date) -> datetime:
    """When a day is over."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
