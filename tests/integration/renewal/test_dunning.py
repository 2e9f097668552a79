"""What the specification says of declined payments and of ends, on real servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.billing.models import Initiator
from services.billing.saga.state import Canceled, IllegalEvent, Opened, PayNow, Sent
from tests.integration.renewal.bench import Bench

DECLINED = "pm_card_chargeCustomerFail"


@pytest.mark.usefixtures("zone")
async def test_the_days_of_the_schedule_are_of_24_hours_in_every_time_zone(bench: Bench) -> None:
    # New York's and Auckland's clocks are changed in these weeks.
    await bench.subscribe(DECLINED, timezone="Pacific/Auckland")
    renewal = await bench.renew()
    await bench.harness.advance(days=30, seconds=-1)
    assert (await bench.subscription())["status"] == "past_due"
    await bench.harness.advance(seconds=1)
    assert await bench.attempt_days() == [0, 1, 3, 7, 14, 30]
    assert (await bench.subscription())["cancel_reason"] == "non_payment"
    assert renewal.status == "complete"


async def test_success_on_day_7_stops_the_rest(bench: Bench) -> None:
    await bench.subscribe("sandbox_declined_3_then_succeeds")
    renewal = await bench.renew()
    await bench.harness.advance(days=40)
    assert renewal.status == "complete"
    assert await bench.attempt_days() == [0, 1, 3, 7]
    subscription = await bench.subscription()
    assert (subscription["status"], subscription["past_due_since"]) == ("active", None)
    assert await bench.balances() == {"cash:sandbox": 999, "revenue": -999}


async def test_a_biller_that_was_down_for_35_days_ends_nothing(bench: Bench) -> None:
    await bench.subscribe("sandbox_down_35_days_then_declines")
    await bench.renew()
    await bench.harness.advance(days=35, hours=-1)
    assert (await bench.subscription())["status"] == "active"
    assert await bench.attempts() == [("cycle", "not_sent")]
    await bench.harness.advance(hours=14)
    subscription = await bench.subscription()
    assert subscription["status"] == "past_due"
    assert subscription["past_due_since"] >= bench.period_start + timedelta(days=35)
    assert await bench.attempts() == [("cycle", "declined")]
    await bench.harness.advance(days=29)
    assert (await bench.subscription())["status"] == "past_due"


async def test_days_that_an_outage_missed_are_one_attempt_and_24_hours_lie_behind_it(
    bench: Bench,
) -> None:
    await bench.subscribe(DECLINED)
    renewal = await bench.renew()
    await renewal.pause()
    await bench.harness.advance(days=13.5)
    await renewal.resume()
    await bench.harness.advance(days=20)
    assert await bench.attempt_days() == [0, 13.5, 14.5, 30]
    assert (await bench.subscription())["cancel_reason"] == "non_payment"


async def test_what_a_person_asks_for_neither_counts_nor_moves_the_schedule(bench: Bench) -> None:
    await bench.subscribe(DECLINED)
    renewal = await bench.renew()
    for day, by in ((2, Initiator.CUSTOMER), (5, Initiator.ADMIN)):
        await bench.harness.advance_to(bench.period_start + timedelta(days=day))
        await bench.happen(PayNow(by=by))
        await bench.tell(renewal)
    await bench.harness.advance(days=30)
    assert await bench.attempt_days() == [0, 1, 2, 3, 5, 7, 14, 30]
    assert await bench.harness.rows("SELECT failures FROM invoices") == [(6,)]


async def test_a_hard_decline_waits_for_a_new_method_and_the_schedule_then_goes_on(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_chargeDeclinedLostCard")
    renewal = await bench.renew()
    await bench.harness.advance(days=5)
    assert await bench.attempt_days() == [0]
    await bench.pay_by(renewal, "pm_card_chargeDeclinedInsufficientFunds")
    await bench.harness.advance(days=40)
    assert await bench.attempt_days() == [0, 5, 7, 14, 30]
    assert [by for by, _ in await bench.attempts()] == ["cycle", "customer", *["dunning"] * 3]


async def test_a_hard_decline_without_a_new_method_ends_on_day_30(bench: Bench) -> None:
    await bench.subscribe("pm_card_chargeDeclinedLostCard")
    renewal = await bench.renew()
    await bench.harness.advance(days=30, seconds=-1)
    assert (await bench.subscription())["status"] == "past_due"
    await bench.harness.advance(seconds=1)
    assert renewal.status == "complete"
    assert await bench.attempt_days() == [0]
    assert (await bench.subscription())["cancel_reason"] == "non_payment"


async def test_a_method_given_while_the_old_ones_attempt_is_pending_is_tried_at_once(
    bench: Bench,
) -> None:
    await bench.subscribe("sandbox_pending_2_days_then_declines")
    renewal = await bench.renew()
    await bench.harness.advance(days=1)
    await bench.pay_by(renewal, "pm_card_visa")
    assert await bench.attempt_days() == [0]
    await bench.harness.advance(days=2)
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "declined"), ("customer", "succeeded")]


async def test_a_method_given_while_nothing_could_be_sent_is_the_one_that_is_sent(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_chargeDeclinedLostCard")
    await bench.sandbox.go_down(bench.harness.now + timedelta(days=1))
    renewal = await bench.renew()
    await bench.harness.advance(hours=20)
    await bench.pay_by(renewal, "pm_card_mastercard")
    await bench.harness.advance(days=1)
    assert renewal.status == "complete"
    assert await bench.harness.rows("SELECT number, payment_method FROM payment_attempts") == [
        (1, "pm_card_mastercard")
    ]
    assert len(await bench.booked()) == 1


async def test_an_incomplete_subscription_has_23_hours(bench: Bench) -> None:
    await bench.subscribe(DECLINED, status="incomplete")
    renewal = await bench.renew()
    await bench.harness.advance(hours=23, seconds=-1)
    assert (await bench.subscription())["status"] == "incomplete"
    await bench.harness.advance(seconds=1)
    assert (await bench.subscription())["cancel_reason"] == "incomplete"
    assert renewal.status == "complete"
    assert await bench.attempt_days() == [0]


async def test_a_second_cancellation_changes_nothing(bench: Bench) -> None:
    await bench.subscribe(DECLINED)
    await bench.renew()
    first = await bench.happen(Canceled(reason="requested"))
    second = await bench.happen(Canceled(reason="requested"))
    assert [first.canceled, second.canceled] == [True, False]
    history = "SELECT status FROM subscription_events ORDER BY id"
    assert await bench.harness.rows(history) == [("past_due",), ("canceled",)]
    assert await bench.notices() == ["payment_failed", "cancellation"]


async def test_a_retry_that_falls_due_finds_the_end_and_stops(bench: Bench) -> None:
    await bench.subscribe(DECLINED)
    renewal = await bench.renew()
    await bench.happen(Canceled(reason="requested"))
    await bench.harness.advance(days=40)
    assert renewal.status == "complete"
    assert await bench.attempt_days() == [0]
    assert await bench.balances() == {"revenue": -999, "bad_debt": 999}


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("customer_zone", "instants"),
    [
        ("UTC", ["2027-01-31T00", "2027-02-28T00", "2027-03-31T00", "2027-04-30T00"]),
        ("America/New_York", ["2028-01-31T05", "2028-02-29T05", "2028-03-31T04", "2028-04-30T04"]),
    ],
)
async def test_periods_from_the_31st_are_clamped_and_never_drift(
    bench: Bench, customer_zone: str, instants: list[str]
) -> None:
    first, *others = (datetime.fromisoformat(f"{each}:00").replace(tzinfo=UTC) for each in instants)
    await bench.harness.advance_to(first)
    await bench.subscribe("pm_card_visa", timezone=customer_zone)
    ends: list[datetime] = []
    for _ in others:
        await bench.renew()
        subscription = await bench.subscription()
        assert subscription["current_period_start"] == bench.harness.now
        ends.append(subscription["current_period_end"])
        await bench.harness.advance_to(ends[-1])
    assert ends == others


async def test_of_fifty_that_charge_at_once_one_does(bench: Bench) -> None:
    await bench.subscribe("pm_card_visa")
    await bench.happen(Opened())

    async def send() -> bool:
        async with bench.harness.connection() as connection:
            try:
                await bench.happen_on(connection, Sent(number=1, initiator=Initiator.CYCLE))
            except IllegalEvent:
                return False
            return True

    sent = await asyncio.gather(*(send() for _ in range(50)))
    assert sum(sent) == 1
    assert await bench.attempts() == [("cycle", "submitted")]
