"""What a payment provider tells by itself: late, twice, in the wrong order, or not genuine."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta

import pytest
from msgspec.structs import replace

from services.billing.models import Initiator, Money, Payment
from services.billing.payments.sandbox import SIGNATURE_HEADER
from services.billing.saga.state import Canceled, Declined, GivenUp, NotFound, Sent, Unknown
from shared.messages.billing import Invoice, PaymentSucceeded, ProviderWebhook, WebhookTaken
from shared.messages.workflows import StartRenewal
from tests.integration.billing.studio import Studio

TAKEN = WebhookTaken(event_id="evt_1", outcome="applied")


def payment_of(invoice: Invoice, **fields: object) -> Payment:
    """The provider's side of the invoice's last attempt, which succeeded unless told otherwise."""
    succeeded = Payment(
        key=invoice.attempts[-1].key,
        reference="pay_1",
        state="succeeded",
        money=Money(amount_minor=invoice.amount_minor, currency=invoice.currency),
    )
    return replace(succeeded, **fields)


async def test_an_event_pays_the_invoice_and_wakes_the_renewal(studio: Studio) -> None:
    invoice = await studio.charged()
    assert await studio.webhook("succeeded", payment_of(invoice)) == TAKEN
    paid = await studio.invoice(invoice.id)
    assert (paid.state, paid.attempts[0].state) == ("paid", "succeeded")
    assert paid.attempts[0].reference == "pay_1"
    assert (await studio.find(invoice.subscription_id)).status == "active"
    [signal] = studio.messages
    assert signal.subject.startswith(f"workflows.renewal.signal.renewal-{invoice.subscription_id}")
    assert await studio.kept() == [("evt_1", "applied")]
    assert await studio.broken() == set()


async def test_a_duplicate_is_answered_as_before_and_does_nothing(studio: Studio) -> None:
    invoice = await studio.charged()
    payment = payment_of(invoice)
    first, second = await gather(
        studio.webhook("succeeded", payment), studio.webhook("succeeded", payment)
    )
    assert first == second == TAKEN
    assert await studio.webhook("succeeded", payment) == TAKEN
    assert len(studio.messages) == 1
    assert len([each for each in studio.events if isinstance(each, PaymentSucceeded)]) == 1
    assert await studio.kept() == [("evt_1", "applied")]


async def test_what_comes_in_the_wrong_order_ends_the_same(studio: Studio) -> None:
    invoice = await studio.charged()
    payment = payment_of(invoice)
    await studio.webhook("succeeded", payment, event_id="evt_2")
    before = payment_of(invoice, state="pending")
    taken = await studio.webhook("pending", before, event_id="evt_1")
    assert taken.outcome == "applied"
    assert (await studio.invoice(invoice.id)).state == "paid"
    assert await studio.broken() == set()


async def test_a_contradiction_changes_nothing_and_is_told_to_operators(studio: Studio) -> None:
    invoice = await studio.charged()
    await studio.webhook("succeeded", payment_of(invoice))
    declined = payment_of(invoice, state="declined", decline_code="lost_card")

    taken = await studio.webhook("declined", declined, event_id="evt_2")

    assert taken.outcome == "contradicted"
    assert (await studio.invoice(invoice.id)).state == "paid"
    assert await studio.kept() == [("evt_1", "applied"), ("evt_2", "contradicted")]
    assert await studio.notices() == [("payment_contradiction", "operators")]


async def test_late_words_about_an_earlier_attempt_do_not_touch_the_present_one(
    studio: Studio,
) -> None:
    invoice = await studio.charged()
    first = payment_of(invoice)
    await studio.happen(
        invoice.subscription_id,
        Declined(kind="soft"),
        Sent(number=2, initiator=Initiator.DUNNING),
    )
    late = replace(first, state="declined")
    assert (await studio.webhook("declined", late)).outcome == "applied"
    assert (await studio.webhook("succeeded", first, event_id="evt_2")).outcome == "contradicted"
    states = [each.state for each in (await studio.invoice(invoice.id)).attempts]
    assert states == ["declined", "submitted"]


async def test_another_amount_than_was_asked_for_is_a_contradiction(studio: Studio) -> None:
    invoice = await studio.charged()
    other = payment_of(invoice, money=Money(amount_minor=1, currency="EUR"))
    assert (await studio.webhook("succeeded", other)).outcome == "contradicted"
    assert (await studio.invoice(invoice.id)).state == "open"


@pytest.mark.parametrize("again", [False, True], ids=["once it is written", "told again"])
async def test_an_event_of_an_attempt_that_is_not_known_waits_for_it(
    studio: Studio, again: bool
) -> None:
    subscription = await studio.subscription()
    period = studio.now.strftime("%Y%m%dT%H%M%SZ")
    key = f"{subscription.id}-{period}-1"
    early = Payment(
        key=key,
        reference="pay_1",
        state="succeeded",
        money=Money(amount_minor=999, currency="EUR"),
    )
    assert (await studio.webhook("succeeded", early)).outcome == "parked"
    assert (await studio.webhook("succeeded", early)).outcome == "parked"
    invoice = await studio.charged_again(subscription)
    assert invoice.attempts[0].key == key
    assert await studio.broken() == {"a_parked_event_waits_for_its_attempt"}

    if again:
        assert await studio.webhook("succeeded", early) == TAKEN
    else:
        [arrival] = await studio.apply_parked(key)
        assert arrival.outcome == "applied"

    assert (await studio.invoice(invoice.id)).state == "paid"
    assert await studio.apply_parked(key) == []
    assert await studio.kept() == [("evt_1", "applied")]
    assert await studio.broken() == set()


async def test_money_that_comes_after_all_was_given_up_is_given_back(studio: Studio) -> None:
    invoice = await studio.charged()
    await studio.happen(
        invoice.subscription_id,
        Unknown(),
        *[NotFound()] * 7,
        Canceled(reason="requested"),
    )
    await studio.happen(invoice.subscription_id, GivenUp(), period_start=invoice.period_start)
    assert (await studio.webhook("succeeded", payment_of(invoice))).outcome == "applied"
    assert (await studio.invoice(invoice.id)).attempts[0].refund == "due"
    trigger = studio.triggers[-1]
    assert isinstance(trigger, StartRenewal)
    assert trigger.period_start == invoice.period_start
    assert await studio.broken() == set()


async def test_a_chargeback_opens_the_invoice_again_under_another_renewal(studio: Studio) -> None:
    invoice = await studio.paid()
    assert (await studio.webhook("disputed", payment_of(invoice))).outcome == "applied"
    disputed = await studio.invoice(invoice.id)
    assert (disputed.state, disputed.disputed, disputed.automatic) == ("open", True, False)
    trigger = studio.triggers[-1]
    assert isinstance(trigger, StartRenewal)
    assert trigger.id is not None
    assert trigger.id.endswith("Z-r1")
    assert await studio.broken() == set()


async def test_a_chargeback_without_a_key_is_known_by_the_payments_reference(
    studio: Studio,
) -> None:
    invoice = await studio.charged()
    await studio.webhook("succeeded", payment_of(invoice))
    keyless = payment_of(invoice, key="")
    other = payment_of(invoice, key="", reference="pay_of_nobody")
    assert (await studio.webhook("disputed", other, event_id="evt_2")).outcome == "parked"
    assert (await studio.webhook("disputed", keyless, event_id="evt_3")).outcome == "applied"
    assert (await studio.invoice(invoice.id)).disputed
    assert await studio.broken() == set()


async def test_a_refund_at_the_providers_own_desk_is_booked_if_it_is_whole(studio: Studio) -> None:
    invoice = await studio.paid()
    part = payment_of(invoice, refunded_minor=1)
    assert (await studio.webhook("refunded", part)).outcome == "contradicted"
    whole = payment_of(invoice, refunded_minor=999)
    assert (await studio.webhook("refunded", whole, event_id="evt_2")).outcome == "applied"
    assert (await studio.invoice(invoice.id)).attempts[0].refund == "refunded"
    assert await studio.broken() == set()


async def test_an_event_about_nothing_that_is_kept_here_is_ignored(studio: Studio) -> None:
    invoice = await studio.charged()
    request = studio.signed("payout.paid", payment_of(invoice))
    taken = await studio.do(WebhookTaken, "provider_webhook", request)
    assert taken.outcome == "ignored"
    assert await studio.kept() == [("evt_1", "ignored")]


@pytest.mark.parametrize("wrong", ["secret", "body", "time", "header", "text"])
async def test_of_what_is_not_genuine_nothing_is_kept(studio: Studio, wrong: str) -> None:
    invoice = await studio.charged()
    payment = payment_of(invoice)
    request = studio.signed("payment.succeeded", payment)
    if wrong == "secret":
        request = studio.signed("payment.succeeded", payment, secret="whsec_of_somebody")
    elif wrong == "body":
        request = replace(request, body=request.body.replace(b"999", b"998"))
    elif wrong == "time":
        studio.clock.advance(timedelta(seconds=301))
    elif wrong == "header":
        request = replace(request, headers={})
    else:
        request = replace(request, headers={SIGNATURE_HEADER: "t=now"})
    refused = await studio.refusal("provider_webhook", request)
    assert (refused.code, refused.status) == ("signature_refused", 400)
    assert await studio.kept() == []
    assert (await studio.invoice(invoice.id)).state == "open"


async def test_a_provider_that_there_is_not_is_refused(studio: Studio) -> None:
    request = ProviderWebhook(provider="bank_of_nowhere", body=b"{}", headers={})
    refused = await studio.refusal("provider_webhook", request)
    assert (refused.code, refused.status) == ("provider_not_found", 404)
