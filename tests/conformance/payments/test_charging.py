"""Charges and look-ups."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace

from services.billing.models import Charge, Money
from services.billing.payments.provider import OutcomeUnclear, ProviderUnreachable, RequestRefused
from tests.conformance.payments.bench import (
    CUSTOMER,
    DECLINES,
    EUROS,
    Bench,
    charge_of,
    customer,
    events,
)


async def test_a_charge_succeeds_and_is_found_by_its_key(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    payment = await bench.provider.charge(charge)
    assert (payment.key, payment.state, payment.money) == (charge.key, "succeeded", EUROS)
    assert (payment.refunded_minor, payment.decline_code, payment.action_url) == (0, None, None)
    assert await bench.provider.find(charge.key) == payment
    assert payment.reference != charge.key


@pytest.mark.parametrize(("amount_minor", "currency"), [(500, "JPY"), (12340, "KWD")])
async def test_amounts_are_minor_units_whatever_the_exponent(
    bench: Bench, amount_minor: int, currency: str
) -> None:
    money = Money(amount_minor=amount_minor, currency=currency)
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa", money=money))
    assert payment.money == money


async def test_a_key_that_was_never_used_is_found_as_nothing(bench: Bench) -> None:
    assert await bench.provider.find("sub-1-20260301T000000Z-1") is None


async def test_a_charge_that_is_sent_again_takes_the_money_once(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    first = await bench.provider.charge(charge)
    assert await bench.provider.charge(charge) == first


async def test_a_charge_that_is_sent_twice_at_once_takes_the_money_once(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    answers = await asyncio.gather(
        *(bench.provider.charge(charge) for _ in range(5)), return_exceptions=True
    )
    found = await bench.provider.find(charge.key)
    # A provider may say that another request under the key is under way.
    assert {type(answer) for answer in answers} <= {type(found), OutcomeUnclear}
    assert [answer for answer in answers if answer == found] != []
    assert [event.kind for event in await events(bench) if event.kind] == ["succeeded"]


async def test_a_key_of_another_charge_is_refused(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    first = await bench.provider.charge(charge)
    others = [
        replace(charge, money=replace(EUROS, amount_minor=2999)),
        replace(charge, money=replace(EUROS, currency="USD")),
        replace(charge, payment_method="pm_card_mastercard"),
    ]
    for other in others:
        with pytest.raises(RequestRefused):
            await bench.provider.charge(other)
    assert await bench.provider.find(charge.key) == first


@pytest.mark.parametrize(("payment_method", "code"), DECLINES.items())
async def test_a_decline_is_an_answer_with_its_code(
    bench: Bench, payment_method: str, code: str
) -> None:
    charge = await charge_of(bench, payment_method)
    payment = await bench.provider.charge(charge)
    assert (payment.state, payment.decline_code) == ("declined", code)
    assert (payment.key, payment.money) == (charge.key, EUROS)
    assert await bench.provider.find(charge.key) == payment
    assert await bench.provider.charge(charge) == payment


async def test_another_key_of_the_same_customer_is_another_payment(bench: Bench) -> None:
    first = await bench.provider.charge(await charge_of(bench, "pm_card_chargeDeclined"))
    charge = await charge_of(bench, "pm_card_visa", key="sub-1-20260301T000000Z-2")
    second = await bench.provider.charge(charge)
    assert (first.state, second.state) == ("declined", "succeeded")
    assert await bench.provider.find(first.key) == first


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_pending_payment_ends_by_itself(bench: Bench, *, succeeds: bool) -> None:
    charge = await charge_of(bench, bench.pending_methods[succeeds])
    pending = await bench.provider.charge(charge)
    assert (pending.state, pending.action_url) == ("pending", None)
    assert await bench.provider.find(charge.key) == pending
    await bench.settle()
    ended = await bench.provider.find(charge.key)
    assert ended is not None
    assert ended.state == ("succeeded" if succeeds else "declined")
    assert (ended.decline_code is None) == succeeds


async def test_a_payment_that_needs_the_customer_is_pending_until_they_confirm_it(
    bench: Bench,
) -> None:
    charge = await charge_of(bench, "pm_card_authenticationRequired")
    pending = await bench.provider.charge(charge)
    assert pending.state == "pending"
    assert (pending.action_url or "").startswith("https://")
    assert await bench.provider.find(charge.key) == pending
    await bench.confirm(charge.key)
    found = await bench.provider.find(charge.key)
    assert found is not None
    assert (found.state, found.action_url) == ("succeeded", None)


async def test_a_payment_that_the_customer_confirms_may_still_be_declined(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
    assert (await bench.provider.charge(charge)).state == "pending"
    await bench.confirm(charge.key)
    found = await bench.provider.find(charge.key)
    assert found is not None
    assert (found.state, found.decline_code) == ("declined", "insufficient_funds")


@pytest.mark.parametrize("charged", [True, False])
async def test_only_a_look_up_tells_what_became_of_an_unanswered_charge(
    bench: Bench, *, charged: bool
) -> None:
    charge = await charge_of(bench, await bench.unanswered_method(charged=charged))
    with pytest.raises(OutcomeUnclear):
        await bench.provider.charge(charge)
    found = await bench.provider.find(charge.key)
    assert ("succeeded" if charged else None) == (found and found.state)
    again = await bench.provider.charge(charge)
    assert again.state == "succeeded"
    assert found in {None, again}
    assert await bench.provider.find(charge.key) == again


async def test_a_provider_that_is_down_has_moved_nothing(bench: Bench) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    await bench.go_down()
    with pytest.raises(ProviderUnreachable):
        await bench.provider.charge(charge)
    with pytest.raises(ProviderUnreachable):
        await bench.provider.find(charge.key)
    with pytest.raises(ProviderUnreachable):
        await bench.provider.save_customer(customer())


@pytest.mark.parametrize(
    "wrong",
    [
        {"payment_method": "pm_card_of_nobody"},
        {"customer_reference": "cus_of_nobody"},
        {"money": Money(amount_minor=0, currency="EUR")},
        {"money": Money(amount_minor=-1, currency="EUR")},
    ],
    ids=str,
)
async def test_a_charge_that_can_never_be_right_is_refused(
    bench: Bench, wrong: dict[str, str | Money]
) -> None:
    charge: Charge = replace(await charge_of(bench, "pm_card_visa"), **wrong)
    with pytest.raises(RequestRefused):
        await bench.provider.charge(charge)
    assert await bench.provider.find(charge.key) is None


async def test_a_customer_keeps_their_reference(bench: Bench) -> None:
    reference = await bench.provider.save_customer(customer())
    again = await bench.provider.save_customer(customer(reference=reference))
    changed = await bench.provider.save_customer(customer("ann@example.com", reference))
    anonymous = await bench.provider.save_customer(customer(None, reference))
    assert {reference, again, changed, anonymous} == {reference}


async def test_a_customer_whose_reference_was_lost_is_not_made_twice(bench: Bench) -> None:
    assert await bench.provider.save_customer(customer()) == await bench.provider.save_customer(
        customer()
    )


async def test_a_customer_who_is_forgotten_is_charged_no_more_but_what_they_paid_stays(
    bench: Bench,
) -> None:
    charge = await charge_of(bench, "pm_card_visa")
    paid = await bench.provider.charge(charge)
    for reference in (charge.customer_reference, charge.customer_reference, None):
        await bench.provider.forget_customer(CUSTOMER, reference)
    assert await bench.provider.find(charge.key) == paid
    assert "ann@example.org" not in await bench.known_of_customers()


async def test_of_nobody_there_is_nothing_to_forget(bench: Bench) -> None:
    await bench.provider.forget_customer(UUID(int=8), None)
