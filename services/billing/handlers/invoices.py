"""Carries out requests about invoices."""

from __future__ import annotations

from services.billing.handlers.finding import invoice_of
from services.billing.handlers.happening import happen_to
from services.billing.models import Initiator
from services.billing.saga import after
from services.billing.saga.state import (
    DisputeLost,
    DisputeWon,
    IllegalEvent,
    PayNow,
    RefundRequested,
    SagaEvent,
)
from services.billing.transitions import lock_case
from shared.messages.billing import (
    ByInvoice,
    Invoice,
    PayInvoice,
    ResolveDispute,
)
from shared.messages.billing.values import Resolution
from shared.messages.problems import Refused
from shared.messages.workflows import Accepted, StartPaymentRetry
from shared.runtime.handling import AnyHandler, Handler, Work

RESOLUTIONS: dict[Resolution, SagaEvent] = {
    "won": DisputeWon(),
    "lost": DisputeLost(),
    "charge": PayNow(by=Initiator.ADMIN),
}


async def pay_invoice(work: Work, request: PayInvoice) -> Accepted:
    """Starts what has the invoice charged; asked again before that has happened, it is one."""
    invoice = await invoice_of(work, request.invoice_id)
    case = await lock_case(work.connection, invoice.subscription_id, invoice.period_start)
    try:
        if invoice.disputed:
            raise IllegalEvent("an operator has to decide on its chargeback")
        after(case.saga, PayNow(by=Initiator(request.by)), work.now)
    except IllegalEvent as error:
        raise Refused(
            "not_payable", f"invoice {invoice.id}: {error}", status=409, field="invoiceId"
        ) from error
    attempt = case.attempt
    made = "0" if attempt is None else f"{attempt.number}-{attempt.sends}"
    workflow_id = f"pay-{invoice.id}-{made}"
    work.start(
        StartPaymentRetry(id=workflow_id, subscription_id=invoice.subscription_id, by=request.by)
    )
    return Accepted(workflow_id=workflow_id)


async def refund_invoice(work: Work, request: ByInvoice) -> Invoice:
    """Has the whole amount given back; the renewal does it."""
    invoice = await invoice_of(work, request.invoice_id)
    try:
        await happen_to(work, invoice.subscription_id, RefundRequested(), invoice.period_start)
    except IllegalEvent as error:
        raise Refused(
            "not_refundable", f"invoice {invoice.id}: {error}", status=409, field="invoiceId"
        ) from error
    return await invoice_of(work, invoice.id)


async def resolve_dispute(work: Work, request: ResolveDispute) -> Invoice:
    """Decides what becomes of an invoice after a chargeback."""
    invoice = await invoice_of(work, request.invoice_id)
    if not invoice.disputed:
        raise Refused(
            "not_disputed",
            f"invoice {invoice.id}: nobody waits for a decision",
            status=409,
            field="invoiceId",
        )
    event = RESOLUTIONS[request.resolution]
    try:
        await happen_to(work, invoice.subscription_id, event, invoice.period_start)
    except IllegalEvent as error:
        raise Refused(
            "not_resolvable", f"invoice {invoice.id}: {error}", status=409, field="resolution"
        ) from error
    return await invoice_of(work, invoice.id)


COMMANDS: tuple[AnyHandler, ...] = (
    Handler("pay_invoice", PayInvoice, pay_invoice),
    Handler("refund_invoice", ByInvoice, refund_invoice),
    Handler("resolve_dispute", ResolveDispute, resolve_dispute),
)
