"""What a customer is told of periods that end and payments that are missing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.customer.firm import Firm

SECOND = timedelta(seconds=1)
WEEK = timedelta(days=7)


@pytest.mark.rule("billing-renewal-reminder")
@pytest.mark.parametrize(
    ("left", "told"),
    [
        (WEEK + SECOND, ()),
        (WEEK, ("renewal_reminder",)),
        (SECOND, ("renewal_reminder",)),
        (timedelta(), ()),
        (-SECOND, ()),
    ],
)
async def test_a_renewal_is_reminded_of_in_the_last_seven_days(
    firm: Firm, left: timedelta, told: tuple[str, ...]
) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.harness.advance_to(await firm.period_end(subscription_id) - left)
    run = await firm.run(customer_id)
    assert run.output.told == told


@pytest.mark.rule("billing-renewal-reminder")
async def test_each_period_is_reminded_of_once(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    for _ in range(3):
        end = await firm.period_end(subscription_id)
        for left in (WEEK, timedelta(days=3), SECOND, timedelta()):
            await firm.harness.advance_to(end - left)
            await firm.run(customer_id)
    assert await firm.notices() == ["renewal_reminder"] * 3


@pytest.mark.rule("billing-renewal-reminder")
async def test_one_that_ends_is_told_so_instead(firm: Firm) -> None:
    customer_id, subscription_id = await firm.subscriber()
    await firm.cancel(subscription_id, at_period_end=True)
    await firm.harness.advance_to(await firm.period_end(subscription_id) - WEEK)
    for _ in range(2):
        await firm.run(customer_id)
    assert await firm.notices() == ["ending_notice"]
    [(data,)] = await firm.harness.rows("SELECT data->>'days' FROM notices")
    assert data == "7"


@pytest.mark.rule("billing-past-due-notices")
async def test_thirty_days_of_runs_tell_five_notices_and_the_cancellation(firm: Firm) -> None:
    customer_id, subscription_id = await firm.owing()
    # Every hour is the unit tests' matter: here each run is a real one.
    for _ in range(30 * 6 + 1):
        await firm.trigger(customer_id)
        await firm.harness.advance(hours=4)
    rows = await firm.harness.rows("SELECT name, created_at FROM notices ORDER BY id")
    subscription = await firm.subscription(subscription_id)
    failed_at = subscription["canceled_at"] - timedelta(days=30)
    assert [(name, (at - failed_at).days) for name, at in rows] == [
        ("payment_failed", 0),
        ("payment_reminder", 1),
        ("payment_reminder", 3),
        ("final_notice", 7),
        ("final_notice", 14),
        ("cancellation", 30),
    ]
    assert subscription["cancel_reason"] == "non_payment"


@pytest.mark.rule("billing-past-due-notices")
async def test_notices_that_were_missed_collapse_into_the_latest(firm: Firm) -> None:
    customer_id, _ = await firm.owing()
    await firm.harness.advance(days=8)
    for _ in range(2):
        await firm.run(customer_id)
    assert await firm.notices() == ["payment_failed", "final_notice"]
    [(days,)] = await firm.harness.rows(
        "SELECT data->>'daysPastDue' FROM notices WHERE name = 'final_notice'"
    )
    assert days == "8"
