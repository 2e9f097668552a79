"""What becomes of attempts that nobody knows of, and of money that comes too late."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.billing.saga.state import Canceled, Disputed, DisputeLost, Succeeded
from shared.workflow.errors import NonRetryableError
from tests.integration.renewal.bench import Bench

LADDER = [timedelta(minutes=5), timedelta(hours=1), *(timedelta(days=day) for day in range(1, 6))]

LOOKS = "SELECT looks FROM payment_attempts"


@pytest.mark.usefixtures("zone")
async def test_an_unknown_attempt_is_looked_for_on_the_ladder_and_then_handed_to_a_person(
    bench: Bench,
) -> None:
    await bench.subscribe("sandbox_timeout_after_charging")
    renewal = await bench.renew()
    await bench.sandbox.go_down(bench.harness.now + timedelta(days=60))
    for looks, after in enumerate(LADDER):
        await bench.harness.advance_to(bench.period_start + after - timedelta(seconds=1))
        assert await bench.harness.rows(LOOKS) == [(looks,)]
        await bench.harness.advance(seconds=1)
        assert await bench.harness.rows(LOOKS) == [(looks + 1,)]
    await bench.harness.advance_to(bench.period_start + timedelta(days=7, seconds=-1))
    assert await bench.notices() == []
    await bench.harness.advance(seconds=1)
    assert await bench.notices() == ["payment_needs_operator"]
    assert await bench.harness.rows("SELECT needs_operator FROM invoices") == [(True,)]
    assert await bench.attempts() == [("cycle", "unknown")]
    # The provider told somebody else.
    await bench.happen(Succeeded())
    await bench.tell(renewal)
    assert renewal.status == "complete"
    assert await bench.harness.rows("SELECT needs_operator FROM invoices") == [(False,)]
    assert await bench.balances() == {"cash:sandbox": 999, "revenue": -999}


async def test_an_unknown_attempt_is_sent_again_by_its_own_key_after_two_look_ups(
    bench: Bench,
) -> None:
    await bench.subscribe("sandbox_timeout_before_charging")
    await bench.renew()
    await bench.harness.advance(hours=1, seconds=-1)
    assert [each.requests for each in await bench.booked()] == []
    await bench.harness.advance(seconds=1)
    [booked] = await bench.booked()
    assert (booked.requests, booked.key.endswith("-1")) == (2, True)
    assert await bench.attempts() == [("cycle", "succeeded")]


async def test_the_end_comes_on_day_37_even_with_a_payment_on_its_way_and_its_money_goes_back(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_chargeCustomerFail")
    renewal = await bench.renew()
    await bench.harness.advance(days=29)
    await bench.pay_by(renewal, "sandbox_pending_20_days_then_succeeds")
    await bench.harness.advance(days=8, seconds=-1)
    assert (await bench.subscription())["status"] == "past_due"
    await bench.harness.advance(seconds=1)
    assert (await bench.subscription())["cancel_reason"] == "non_payment"
    assert (await bench.attempts())[-1] == ("customer", "pending")
    await bench.harness.advance(days=14)
    assert renewal.status == "complete"
    assert (await bench.attempts())[-1] == ("customer", "succeeded")
    [paid] = [each for each in await bench.booked() if each.state == "succeeded"]
    assert paid.refunded_minor == 999
    assert await bench.balances() == {"revenue": -999, "bad_debt": 999}
    cash = "SELECT amount_minor FROM ledger_entries WHERE account = 'cash:sandbox' ORDER BY id"
    assert await bench.harness.rows(cash) == [(999,), (-999,)]


async def test_an_attempt_that_was_never_found_is_void_once_the_subscription_has_ended(
    bench: Bench,
) -> None:
    await bench.subscribe("sandbox_timeout_before_charging")
    renewal = await bench.renew()
    await bench.happen(Canceled(reason="requested"))
    await bench.tell(renewal)
    await bench.harness.advance(days=6)
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "void")]
    assert await bench.booked() == []


async def test_money_whose_period_cannot_be_given_goes_back_and_the_failure_is_seen(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_visa")
    bench.harness.fail("record", error=NonRetryableError("extension", "it cannot be written"))
    renewal = await bench.renew()
    assert renewal.status == "errored"
    [paid] = await bench.booked()
    assert paid.refunded_minor == 999
    assert (await bench.subscription())["periods"] == 0
    assert await bench.balances() == {"receivable": 999, "revenue": -999}
    assert await bench.notices() == ["payment_needs_operator"]


async def test_so_does_money_that_only_a_look_up_found(bench: Bench) -> None:
    await bench.subscribe("sandbox_timeout_after_charging")
    renewal = await bench.renew()
    bench.harness.fail("record", error=NonRetryableError("extension", "it cannot be written"))
    await bench.harness.advance(hours=1)
    assert renewal.status == "errored"
    [paid] = await bench.booked()
    assert paid.refunded_minor == 999
    assert await bench.balances() == {"receivable": 999, "revenue": -999}


async def test_a_look_up_whose_worker_is_lost_is_made_again(bench: Bench) -> None:
    await bench.subscribe("sandbox_timeout_after_charging")
    renewal = await bench.renew()
    # The commit before the provider is asked.
    bench.harness.crash_at("after commit")
    await bench.harness.advance(hours=1)
    assert renewal.status == "complete"
    assert await bench.attempts() == [("cycle", "succeeded")]


async def test_a_chargeback_is_asked_for_again_by_a_person_alone_and_can_be_lost_once(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_visa")
    await bench.renew()
    await bench.happen(Disputed())
    assert await bench.balances() == {"receivable": 999, "revenue": -999}
    again = await bench.renew_again()
    await bench.harness.advance(days=60)
    assert again.status == "waiting"
    assert len(await bench.attempts()) == 1
    await bench.happen(DisputeLost())
    await bench.tell(again)
    assert again.status == "complete"
    assert await bench.balances() == {"revenue": -999, "bad_debt": 999}
    assert (await bench.subscription())["status"] == "active"


async def test_who_must_confirm_a_payment_is_sent_the_link_and_it_is_paid_once_they_have(
    bench: Bench,
) -> None:
    await bench.subscribe("pm_card_authenticationRequired")
    renewal = await bench.renew()
    assert await bench.notices() == ["payment_failed"]
    [(link,)] = await bench.harness.rows("SELECT data ->> 'actionUrl' FROM notices")
    assert link.startswith("https://")
    [pending] = await bench.booked()
    await bench.sandbox.confirm(pending.key)
    await bench.harness.advance(days=1)
    assert renewal.status == "complete"
    assert (await bench.subscription())["status"] == "active"
