"""Invoices, as customers pay them and operators settle them."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from services.billing.models import Initiator
from services.billing.saga.state import (
    Declined,
    Disputed,
    Opened,
    Refunded,
    Sent,
    Succeeded,
    Unknown,
)
from shared.messages.base import Message
from shared.messages.billing import (
    Balance,
    Balances,
    ByCustomer,
    ByInvoice,
    CancelSubscription,
    Invoice,
    Invoices,
    PageOfCustomer,
    PayInvoice,
    ResolveDispute,
    Subscription,
)
from shared.messages.billing.values import Resolution
from shared.messages.workflows import Accepted, StartPaymentRetry, StartRenewal
from tests.integration.billing.studio import Studio


async def test_an_invoice_shows_its_attempts(studio: Studio) -> None:
    invoice = await studio.charged()
    declined = Declined(kind="soft", code="insufficient_funds")
    await studio.happen(invoice.subscription_id, declined)
    found = await studio.invoice(invoice.id)
    assert (found.state, found.amount_minor, found.amount) == ("open", 999, "EUR 9.99")
    [attempt] = found.attempts
    assert (attempt.state, attempt.initiator) == ("declined", "cycle")
    assert (attempt.decline_code, attempt.decline_class) == ("insufficient_funds", "soft")
    assert attempt.finished_at == studio.now


async def test_invoices_come_in_pages_newest_first(studio: Studio) -> None:
    invoice = await studio.paid()
    for _ in range(3):
        studio.clock.advance(timedelta(days=31))
        await studio.happen(
            invoice.subscription_id,
            Opened(),
            Sent(number=1, initiator=Initiator.CYCLE),
            Succeeded(),
        )
    page = PageOfCustomer(customer_id=invoice.customer_id, limit=3)
    newest = await studio.ask(Invoices, "invoices", page)
    starts = [each.period_start for each in newest.invoices]
    assert starts == sorted(starts, reverse=True)
    rest = PageOfCustomer(customer_id=invoice.customer_id, limit=3, cursor=newest.next_cursor)
    assert await studio.ask(Invoices, "invoices", rest) == Invoices(invoices=(invoice,))


async def test_pay_now_starts_one_payment_retry_until_an_attempt_is_made(studio: Studio) -> None:
    invoice = await studio.charged()
    await studio.happen(invoice.subscription_id, Declined(kind="soft"))
    request = PayInvoice(invoice_id=invoice.id, by="admin")

    accepted = await studio.do(Accepted, "pay_invoice", request)

    assert await studio.do(Accepted, "pay_invoice", request) == accepted
    trigger = StartPaymentRetry(
        id=accepted.workflow_id, subscription_id=invoice.subscription_id, by="admin"
    )
    assert studio.triggers[-2:] == [trigger, trigger]
    await studio.happen(
        invoice.subscription_id,
        Sent(number=2, initiator=Initiator.ADMIN),
        Declined(kind="soft"),
    )
    assert await studio.do(Accepted, "pay_invoice", request) != accepted


async def test_what_is_paid_in_flight_or_canceled_cannot_be_paid_now(studio: Studio) -> None:
    invoice = await studio.charged()
    request = PayInvoice(invoice_id=invoice.id)
    for event in (Unknown(), Succeeded()):
        await studio.happen(invoice.subscription_id, event, period_start=invoice.period_start)
        refused = await studio.refusal("pay_invoice", request)
        assert (refused.code, refused.status) == ("not_payable", 409)
    assert not any(isinstance(each, StartPaymentRetry) for each in studio.triggers)


async def test_a_refund_of_a_paid_invoice_starts_the_renewal_that_gives_it_back(
    studio: Studio,
) -> None:
    invoice = await studio.paid()
    request = ByInvoice(invoice_id=invoice.id)

    refunding = await studio.do(Invoice, "refund_invoice", request)

    assert (refunding.state, refunding.attempts[0].refund) == ("paid", "due")
    trigger = studio.triggers[-1]
    assert isinstance(trigger, StartRenewal)
    assert trigger.id is not None
    assert trigger.id.endswith("-refund-1")
    assert trigger.period_start == invoice.period_start
    again = await studio.refusal("refund_invoice", request)
    assert (again.code, again.status) == ("not_refundable", 409)
    await studio.happen(invoice.subscription_id, Refunded(), period_start=invoice.period_start)
    balances = await studio.ask(Balances, "balances", ByCustomer(customer_id=invoice.customer_id))
    assert balances.balances == (
        Balance(account="cash:sandbox", currency="EUR", amount_minor=0),
        Balance(account="receivable", currency="EUR", amount_minor=0),
        Balance(account="refunds", currency="EUR", amount_minor=999),
        Balance(account="revenue", currency="EUR", amount_minor=-999),
    )
    assert await studio.broken() == set()


async def test_what_is_not_paid_cannot_be_refunded(studio: Studio) -> None:
    invoice = await studio.charged()
    refused = await studio.refusal("refund_invoice", ByInvoice(invoice_id=invoice.id))
    assert (refused.code, refused.status) == ("not_refundable", 409)


@pytest.mark.parametrize(
    ("resolution", "state"), [("won", "paid"), ("lost", "uncollectible"), ("charge", "open")]
)
async def test_an_operator_decides_on_a_chargeback(
    studio: Studio, resolution: Resolution, state: str
) -> None:
    invoice = await studio.paid()
    await studio.happen(invoice.subscription_id, Disputed(), period_start=invoice.period_start)
    assert (await studio.invoice(invoice.id)).disputed
    request = ResolveDispute(invoice_id=invoice.id, resolution=resolution)

    resolved = await studio.do(Invoice, "resolve_dispute", request)

    assert resolved.state == state
    [signal] = studio.messages
    assert signal.subject.endswith("Z-r1")
    if resolution == "charge":
        await studio.happen(
            invoice.subscription_id,
            Sent(number=2, initiator=Initiator.ADMIN),
            Succeeded(),
            period_start=invoice.period_start,
        )
        resolved = await studio.invoice(invoice.id)
        assert resolved.state == "paid"
    assert await studio.broken() == set()
    refused = await studio.refusal("resolve_dispute", request)
    assert (refused.code, refused.status) == ("not_disputed", 409)


async def test_a_cancel_writes_the_open_invoice_off(studio: Studio) -> None:
    invoice = await studio.charged()
    await studio.happen(invoice.subscription_id, Declined(kind="soft"))
    request = CancelSubscription(subscription_id=invoice.subscription_id)
    await studio.do(Subscription, "cancel_subscription", request)
    assert (await studio.invoice(invoice.id)).state == "uncollectible"
    assert len(studio.messages) == 1
    refused = await studio.refusal("pay_invoice", PayInvoice(invoice_id=invoice.id))
    assert refused.code == "not_payable"
    assert await studio.broken() == set()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("invoice", ByInvoice(invoice_id=uuid4())),
        ("pay_invoice", PayInvoice(invoice_id=uuid4())),
        ("refund_invoice", ByInvoice(invoice_id=uuid4())),
        ("resolve_dispute", ResolveDispute(invoice_id=uuid4(), resolution="won")),
    ],
)
async def test_an_unknown_invoice_is_not_found(studio: Studio, name: str, message: Message) -> None:
    refused = await studio.refusal(name, message)
    assert (refused.code, refused.status) == ("invoice_not_found", 404)
