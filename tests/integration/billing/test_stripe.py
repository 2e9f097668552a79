"""Stripe's adapter beyond the port's suite: its look-ups, its errors, its secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from msgspec.structs import replace

from services.billing.models import Charge, Money
from services.billing.payments.provider import (
    OutcomeUnclear,
    ProviderUnreachable,
    RequestRefused,
)
from services.billing.payments.stripe import StripeProvider
from tests.conformance.payments.bench import charge_of, customer, events, refund_of
from tests.conformance.payments.stripe_bench import API_KEY, StripeBench, provider_at

DAY = timedelta(days=1)
CHARGE = Charge(
    key="sub-1-20260301T000000Z-1",
    customer_reference="cus_1",
    payment_method="pm_card_visa",
    money=Money(amount_minor=1999, currency="EUR"),
)


@pytest.fixture
async def bench() -> AsyncIterator[StripeBench]:
    """The adapter over an emulator."""
    made = StripeBench()
    await made.start()
    yield made
    await made.stop()


async def test_a_search_that_lags_makes_nobody_pay_twice(bench: StripeBench) -> None:
    charge = await charge_of(bench, await bench.unanswered_method(charged=True))
    bench.emulator.account.search_lag = timedelta(hours=1)
    with pytest.raises(OutcomeUnclear):
        await bench.provider.charge(charge)
    assert await bench.provider.find(charge.key) is None
    again = await bench.provider.charge(charge)
    assert len(bench.emulator.account.intents) == 1
    bench.clock.advance(timedelta(hours=1))
    assert await bench.provider.find(charge.key) == again


async def test_a_payment_is_found_long_after_its_key_is_forgotten(bench: StripeBench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    bench.clock.advance(400 * DAY)
    assert await bench.provider.find(payment.key) == payment


async def test_of_several_payments_under_a_key_the_one_that_took_money_counts(
    bench: StripeBench,
) -> None:
    paid = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    bench.clock.advance(2 * DAY)
    declined = await bench.provider.charge(await charge_of(bench, "pm_card_chargeDeclined"))
    assert declined.state == "declined"
    assert await bench.provider.find(paid.key) == paid


async def test_a_refund_is_not_repeated_after_its_key_is_forgotten(bench: StripeBench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    await bench.provider.refund(refund_of(payment, 500))
    bench.clock.advance(2 * DAY)
    assert (await bench.provider.refund(refund_of(payment, 500))).refunded_minor == 500


async def test_a_refund_that_failed_at_the_bank_is_left_to_an_operator(bench: StripeBench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    await bench.provider.refund(refund_of(payment, 500))
    for refund in bench.emulator.account.refunds.values():
        refund["status"] = "failed"
    with pytest.raises(RequestRefused, match="failed"):
        await bench.provider.refund(refund_of(payment, 500))


async def test_refunds_made_by_hand_are_no_hindrance(bench: StripeBench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    bench.emulator.account.create_refund({"payment_intent": payment.reference, "amount": "99"})
    assert (await bench.provider.refund(refund_of(payment, 1900))).refunded_minor == 1999


async def test_a_charge_beside_one_under_way_is_unclear(bench: StripeBench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    bench.emulator.gate.clear()
    first = asyncio.create_task(bench.provider.charge(charge))
    await bench.emulator.arrived.acquire()
    with pytest.raises(OutcomeUnclear):
        await bench.provider.charge(charge)
    bench.emulator.gate.set()
    assert await first == await bench.provider.find(charge.key)


async def test_no_answer_in_time_is_unclear(bench: StripeBench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    bench.emulator.gate.clear()
    impatient = provider_at(bench.emulator.url, timeout_seconds=0.05)
    with pytest.raises(OutcomeUnclear):
        await impatient.charge(charge)
    await impatient.close()


async def test_currencies_of_which_stripe_counts_hundredths(bench: StripeBench) -> None:
    money = Money(amount_minor=500, currency="ISK")
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa", money=money))
    (intent,) = bench.emulator.account.intents.values()
    assert (intent["amount"], intent["currency"], payment.money) == (50_000, "isk", money)
    refunded = await bench.provider.refund(refund_of(payment, 200))
    assert refunded.refunded_minor == 200
    told = [event.payment for event in await events(bench) if event.kind == "refunded"]
    assert told == [refunded]


async def test_the_decline_before_the_customer_is_asked_tells_nothing(bench: StripeBench) -> None:
    await bench.provider.charge(await charge_of(bench, "pm_card_authenticationRequired"))
    types = [event["type"] for event in bench.emulator.account.events]
    assert types == ["payment_intent.payment_failed", "payment_intent.requires_action"]
    assert [event.kind for event in await events(bench)] == [None, "pending"]


async def test_a_payment_that_others_made_is_about_nothing(bench: StripeBench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    bench.emulator.account.create_intent(
        {
            "amount": "1",
            "currency": "eur",
            "customer": charge.customer_reference,
            "payment_method": "pm_card_visa",
            "confirm": "true",
        }
    )
    assert {event.kind for event in await events(bench)} == {None}


async def test_a_card_that_is_declined_already_when_it_is_attached_is_no_error(
    bench: StripeBench,
) -> None:
    declining = replace(customer(), payment_method="pm_card_chargeDeclined")
    assert await bench.provider.save_customer(declining) in bench.emulator.account.customers
    with pytest.raises(RequestRefused):
        await bench.provider.save_customer(replace(customer(), payment_method="pm_card_of_nobody"))


async def test_neither_secrets_nor_addresses_reach_a_log(
    bench: StripeBench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
        await bench.provider.refund(refund_of(payment, 1))
    assert "ann@" not in caplog.text
    assert API_KEY not in caplog.text


async def test_a_wrong_key_has_moved_nothing_and_is_not_told(bench: StripeBench) -> None:
    wrong = provider_at(bench.emulator.url, api_key="sk_test_wrong")
    with pytest.raises(ProviderUnreachable) as refused:
        await wrong.find(CHARGE.key)
    assert "sk_test" not in str(refused.value)
    await wrong.close()


def _error(type_: str, code: str) -> dict[str, dict[str, str]]:
    return {"error": {"type": type_, "code": code, "message": "so it is"}}


def _broken_off() -> web.Response:
    answer = web.Response(body=b"{", headers={"Content-Length": "100"})
    answer.force_close()
    return answer


ANSWERS: dict[str, tuple[Callable[[], web.Response], type[Exception]]] = {
    "too many requests": (
        lambda: web.json_response(_error("invalid_request_error", "rate_limit"), status=429),
        ProviderUnreachable,
    ),
    "forbidden": (
        lambda: web.json_response(_error("invalid_request_error", "no"), status=403),
        ProviderUnreachable,
    ),
    "invalid": (
        lambda: web.json_response(_error("invalid_request_error", "no"), status=400),
        RequestRefused,
    ),
    "a key with other parameters": (
        lambda: web.json_response(_error("idempotency_error", "no"), status=400),
        RequestRefused,
    ),
    "a conflict": (
        lambda: web.json_response(_error("idempotency_error", "in_use"), status=409),
        OutcomeUnclear,
    ),
    "an error of theirs": (
        lambda: web.json_response(_error("api_error", "oops"), status=500),
        OutcomeUnclear,
    ),
    "a gateway's page": (
        lambda: web.Response(text="<html>Bad gateway</html>", status=502),
        OutcomeUnclear,
    ),
    "no JSON": (lambda: web.Response(text="yes"), OutcomeUnclear),
    "another object": (lambda: web.json_response({"object": "list", "data": []}), OutcomeUnclear),
    "a decline without the payment": (
        lambda: web.json_response(_error("card_error", "card_declined"), status=402),
        OutcomeUnclear,
    ),
    "an answer that breaks off": (_broken_off, OutcomeUnclear),
}


@asynccontextmanager
async def answering(make: Callable[[], web.Response]) -> AsyncGenerator[StripeProvider]:
    """The adapter before a server that says the same to everything."""

    async def answer(_: web.Request) -> web.Response:
        return make()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider = provider_at(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield provider
    finally:
        await provider.close()
        await runner.cleanup()


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_none_says_whether_money_may_have_moved(name: str) -> None:
    make, expected = ANSWERS[name]
    async with answering(make) as provider:
        with pytest.raises(expected):
            await provider.charge(CHARGE)


async def test_a_look_up_whose_answer_does_not_tell_is_unclear() -> None:
    found = {"object": "search_result", "data": [{"id": "pi_1", "object": "payment_intent"}]}
    async with answering(lambda: web.json_response(found)) as provider:
        with pytest.raises(OutcomeUnclear):
            await provider.find(CHARGE.key)


async def test_a_refusal_repeats_nothing_that_was_sent() -> None:
    error = {
        "type": "invalid_request_error",
        "code": "email_invalid",
        "param": "email",
        "message": "Invalid email address: ann@example",
    }
    refusal = {"error": error}
    async with answering(lambda: web.json_response(refusal, status=400)) as provider:
        with pytest.raises(RequestRefused) as refused:
            await provider.save_customer(customer("ann@example"))
    assert str(refused.value) == "Stripe: InvalidRequestError (email_invalid, email)"
