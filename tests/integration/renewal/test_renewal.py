"""The renewal workflow on real servers, against the sandbox's books."""

from __future__ import annotations

import pytest

from services.billing.models import Money, Payment, ProviderEvent
from services.billing.provider_events import ProviderEvents
from shared.messages.events import Event
from tests.integration.renewal.bench import Bench


async def test_a_charge_extends_the_period_and_is_in_the_books(bench: Bench) -> None:
    await bench.subscribe("pm_card_visa")
    renewal = await bench.renew()
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "succeeded")]
    subscription = await bench.subscription()
    assert subscription["status"] == "active"
    assert subscription["periods"] == 1
    assert subscription["current_period_end"] > bench.harness.now
    assert await bench.balances() == {"cash:sandbox": 999, "revenue": -999}
    assert [(each.state, each.amount_minor) for each in await bench.booked()] == [
        ("succeeded", 999)
    ]


async def test_declined_always_is_tried_on_the_days_of_the_schedule_and_then_canceled(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_chargeCustomerFail")
    renewal = await bench.renew()
    await bench.harness.advance(days=40)
    assert renewal.status == "complete"
    assert await bench.attempt_days() == [0, 1, 3, 7, 14, 30]
    assert [initiator for initiator, _ in await bench.attempts()] == ["cycle"] + ["dunning"] * 5
    subscription = await bench.subscription()
    assert (subscription["status"], subscription["cancel_reason"]) == ("canceled", "non_payment")
    assert await bench.notices() == ["payment_failed", "cancellation"]
    assert await bench.balances() == {"revenue": -999, "bad_debt": 999}
    [cleanup] = await bench.harness.instances("subscription_cleanup")
    assert cleanup.status == "waiting"


@pytest.mark.parametrize(
    ("method", "requests"),
    [("sandbox_timeout_after_charging", 1), ("sandbox_timeout_before_charging", 2)],
)
async def test_an_unknown_outcome_is_looked_up_and_never_charged_under_another_key(
    bench: Bench, method: str, requests: int
) -> None:
    await bench.subscribe(method)
    renewal = await bench.renew()
    assert await bench.attempts() == [("cycle", "unknown")]
    assert (await bench.subscription())["status"] == "active"
    await bench.harness.advance(days=2)
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "succeeded")]
    [booked] = await bench.booked()
    assert (booked.state, booked.requests) == ("succeeded", requests)


async def test_what_the_provider_told_before_the_attempt_was_written_is_believed(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_visa")
    period = bench.harness.now.strftime("%Y%m%dT%H%M%SZ")
    payment = Payment(
        key=f"{bench.subscription_id}-{period}-1",
        reference="sandbox_1",
        state="succeeded",
        money=Money(amount_minor=999, currency="EUR"),
    )
    event = ProviderEvent(
        id="evt_1", kind="succeeded", payment=payment, occurred_at=bench.harness.now
    )
    nothing: list[Event] = []
    async with bench.harness.connection() as connection:
        events = ProviderEvents(
            connection, "sandbox", now=bench.harness.now, publish=nothing.append
        )
        assert (await events.take(event)).outcome == "parked"
    renewal = await bench.renew()
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "succeeded")]
    assert await bench.booked() == []
    rows = await bench.harness.rows("SELECT outcome FROM provider_events")
    assert rows == [("applied",)]
