"""Refunds."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from services.billing.models import Money, Payment
from services.billing.payments.provider import OutcomeUnclear, RequestRefused
from tests.conformance.payments.bench import EUROS, Bench, charge_of, refund_of


async def paid(bench: Bench) -> Payment:
    return await bench.provider.charge(await charge_of(bench, "pm_card_visa"))


async def test_a_payment_is_refunded_whole(bench: Bench) -> None:
    payment = await paid(bench)
    refunded = await bench.provider.refund(refund_of(payment, 1999))
    assert refunded == replace(payment, refunded_minor=1999)
    assert await bench.provider.find(payment.key) == refunded


async def test_a_payment_is_refunded_in_parts(bench: Bench) -> None:
    payment = await paid(bench)
    assert (await bench.provider.refund(refund_of(payment, 999))).refunded_minor == 999
    assert (await bench.provider.refund(refund_of(payment, 1000, number=2))).refunded_minor == 1999


async def test_a_refund_that_is_sent_again_gives_the_money_back_once(bench: Bench) -> None:
    payment = await paid(bench)
    first = await bench.provider.refund(refund_of(payment, 999))
    assert await bench.provider.refund(refund_of(payment, 999)) == first


async def test_refunds_at_once_never_give_back_more_than_was_paid(bench: Bench) -> None:
    payment = await paid(bench)
    answers = await asyncio.gather(
        *(bench.provider.refund(refund_of(payment, 1999, number=n)) for n in range(4)),
        return_exceptions=True,
    )
    assert {type(answer) for answer in answers} <= {Payment, RequestRefused, OutcomeUnclear}
    found = await bench.provider.find(payment.key)
    assert found == replace(payment, refunded_minor=1999)


async def test_more_than_is_left_is_refused(bench: Bench) -> None:
    payment = await paid(bench)
    with pytest.raises(RequestRefused):
        await bench.provider.refund(refund_of(payment, 2000))
    await bench.provider.refund(refund_of(payment, 1500))
    with pytest.raises(RequestRefused):
        await bench.provider.refund(refund_of(payment, 500, number=2))
    found = await bench.provider.find(payment.key)
    assert found == replace(payment, refunded_minor=1500)


async def test_a_key_of_another_refund_is_refused(bench: Bench) -> None:
    payment = await paid(bench)
    await bench.provider.refund(refund_of(payment, 999))
    with pytest.raises(RequestRefused):
        await bench.provider.refund(refund_of(payment, 1000))


@pytest.mark.parametrize("amount_minor", [0, -1])
async def test_a_refund_of_nothing_is_refused(bench: Bench, amount_minor: int) -> None:
    payment = await paid(bench)
    with pytest.raises(RequestRefused):
        await bench.provider.refund(refund_of(payment, amount_minor))


async def test_what_was_not_paid_is_not_refunded(bench: Bench) -> None:
    declined = await bench.provider.charge(await charge_of(bench, "pm_card_chargeDeclined"))
    with pytest.raises(RequestRefused):
        await bench.provider.refund(refund_of(declined, 1999))
    unknown = replace(refund_of(declined, 1999), charge_key="x", provider_reference="pi_of_nobody")
    with pytest.raises(RequestRefused):
        await bench.provider.refund(unknown)


async def test_a_refund_in_another_currency_is_refused(bench: Bench) -> None:
    payment = await paid(bench)
    dollars = replace(refund_of(payment, 1), money=Money(amount_minor=1, currency="USD"))
    with pytest.raises(RequestRefused):
        await bench.provider.refund(dollars)
    assert (await bench.provider.find(payment.key) or payment).money == EUROS
