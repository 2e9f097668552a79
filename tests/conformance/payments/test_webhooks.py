"""Webhooks: what they tell, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.billing.payments.provider import SignatureRefused
from tests.conformance.payments.bench import Bench, Webhook, charge_of, events, refund_of


@pytest.mark.parametrize(
    ("payment_method", "kind"),
    [("pm_card_visa", "succeeded"), ("pm_card_chargeDeclined", "declined")],
)
async def test_the_end_of_a_payment_is_told(bench: Bench, payment_method: str, kind: str) -> None:
    payment = await bench.provider.charge(await charge_of(bench, payment_method))
    (told,) = [event for event in await events(bench) if event.kind is not None]
    assert (told.kind, told.payment) == (kind, payment)
    assert told.occurred_at == bench.clock.now()


@pytest.mark.parametrize("succeeds", [True, False])
async def test_a_pending_payment_is_told_and_then_its_end(bench: Bench, *, succeeds: bool) -> None:
    pending = await bench.provider.charge(await charge_of(bench, bench.pending_methods[succeeds]))
    (first,) = [event for event in await events(bench) if event.kind is not None]
    assert (first.kind, first.payment) == ("pending", pending)
    await bench.settle()
    (second,) = [event for event in await events(bench) if event.kind is not None]
    assert second.kind == ("succeeded" if succeeds else "declined")
    assert second.payment == await bench.provider.find(pending.key)
    assert second.id != first.id


async def test_what_the_customer_confirms_is_told(bench: Bench) -> None:
    pending = await bench.provider.charge(await charge_of(bench, "pm_card_authenticationRequired"))
    await events(bench)
    await bench.confirm(pending.key)
    (told,) = [event for event in await events(bench) if event.kind is not None]
    assert (told.kind, told.payment) == ("succeeded", await bench.provider.find(pending.key))


async def test_a_refund_is_told_with_the_payment_as_it_is_then(bench: Bench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    await events(bench)
    await bench.provider.refund(refund_of(payment, 999))
    told = [event for event in await events(bench) if event.kind is not None]
    assert {event.kind for event in told} == {"refunded"}
    assert told[0].payment == await bench.provider.find(payment.key)


async def test_a_chargeback_is_told(bench: Bench) -> None:
    payment = await bench.provider.charge(await charge_of(bench, "pm_card_visa"))
    await events(bench)
    await bench.dispute(payment.key)
    (told,) = [event for event in await events(bench) if event.kind is not None]
    assert (told.kind, told.payment and told.payment.reference) == ("disputed", payment.reference)


async def test_an_unknown_kind_is_genuine_and_about_nothing(bench: Bench) -> None:
    body, headers = await bench.unknown_webhook()
    event = bench.provider.verify(body, headers, bench.clock.now())
    assert (event.kind, event.payment) == (None, None)
    assert event.id


async def test_the_header_may_be_written_in_any_case(bench: Bench) -> None:
    body, headers = await bench.unknown_webhook()
    lower = {name.lower(): value for name, value in headers.items()}
    assert bench.provider.verify(body, lower, bench.clock.now()).id


@pytest.mark.parametrize("seconds", [-300, 0, 300])
async def test_a_signature_of_five_minutes_holds(bench: Bench, seconds: int) -> None:
    body, headers = await bench.unknown_webhook()
    now = bench.clock.now() + timedelta(seconds=seconds)
    assert bench.provider.verify(body, headers, now).id


@pytest.mark.parametrize("seconds", [301, -301], ids=["old", "future"])
async def test_a_signature_of_another_time_is_refused(bench: Bench, seconds: int) -> None:
    body, headers = await bench.unknown_webhook()
    with pytest.raises(SignatureRefused):
        bench.provider.verify(body, headers, bench.clock.now() + timedelta(seconds=seconds))


def _with_header(change: Callable[[str], str]) -> Callable[[Bench, Webhook], Webhook]:
    def changed(bench: Bench, webhook: Webhook) -> Webhook:
        body, headers = webhook
        return body, {bench.signature_header: change(headers[bench.signature_header])}

    return changed


DAMAGES: dict[str, Callable[[Bench, Webhook], Webhook]] = {
    "another body": lambda _, webhook: (webhook[0] + b" ", webhook[1]),
    "no header": lambda _, webhook: (webhook[0], {}),
    "an empty header": _with_header(lambda _: ""),
    "no instant": _with_header(lambda value: value.partition(",")[2]),
    "an instant that is none": _with_header(lambda value: value.replace("t=", "t=x")),
    "a later instant": _with_header(lambda value: value.replace("t=1", "t=2")),
    "two instants": _with_header(lambda value: f"{value.partition(',')[0]},{value}"),
    "no signature": _with_header(lambda value: value.partition(",")[0]),
    "another signature": _with_header(
        lambda value: value[:-1] + ("1" if value[-1] == "0" else "0")
    ),
    "letters beyond ASCII": _with_header(lambda value: value[:-1] + "é"),
    "another scheme": _with_header(lambda value: value.replace("v1=", "v0=")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_signature_is_refused(
    bench: Bench, damage: Callable[[Bench, Webhook], Webhook]
) -> None:
    body, headers = damage(bench, await bench.unknown_webhook())
    with pytest.raises(SignatureRefused):
        bench.provider.verify(body, headers, bench.clock.now())
