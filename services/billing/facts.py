"""What is told to the world of an event: facts for analytics and for other services."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from services.billing.models import Invoice, PaymentAttempt, Terms
from services.billing.saga.state import (
    Canceled,
    Change,
    Declined,
    DisputeLost,
    DisputeWon,
    Effect,
    SagaEvent,
)
from shared.messages.billing import (
    ChargebackReceived,
    DisputeResolved,
    InvoiceOpened,
    InvoicePaid,
    InvoiceWrittenOff,
    PaymentFailed,
    PaymentSucceeded,
    PaymentUnresolved,
    RefundIssued,
    SubscriptionChanged,
)
from shared.messages.events import Event


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that one event changes."""

    terms: Terms
    invoice: Invoice
    """As the event leaves it."""
    stored: bool
    """Whether the invoice has a row; a draft has none."""
    attempt: PaymentAttempt | None
    """As the event leaves it."""
    change: Change
    event: SagaEvent
    changed: bool
    """Whether the event told anything new of the saga."""
    actor: str
    now: datetime


def facts(page: Page) -> Iterator[Event]:
    """The facts of one event, in the order in which they came about."""
    saga, effects = page.change.saga, page.change.effects
    about_invoice = _of_invoice(page)
    if Effect.BOOK_OPENED in effects:
        yield InvoiceOpened(**about_invoice)
    if page.attempt is not None:
        yield from _of_payment(page, page.attempt, about_invoice)
    if saga.status is not page.terms.status:
        yield SubscriptionChanged(
            subscription_id=page.terms.id,
            customer_id=page.terms.customer_id,
            plan_id=page.terms.plan_id,
            amount_minor=page.terms.price.amount_minor,
            currency=page.terms.price.currency,
            interval=page.terms.interval,
            previous_status=page.terms.status,
            status=saga.status,
            reason=page.event.reason if isinstance(page.event, Canceled) else None,
        )
    if Effect.BOOK_WRITE_OFF in effects:
        yield InvoiceWrittenOff(**about_invoice)
    if isinstance(page.event, DisputeWon | DisputeLost):
        yield DisputeResolved(
            **about_invoice, resolution="won" if isinstance(page.event, DisputeWon) else "lost"
        )


def _of_payment(
    page: Page, attempt: PaymentAttempt, about_invoice: dict[str, Any]
) -> Iterator[Event]:
    effects = page.change.effects
    about: dict[str, Any] = {
        **about_invoice,
        "number": attempt.number,
        "initiator": attempt.initiator,
        "provider": attempt.provider,
    }
    if {Effect.BOOK_PAID, Effect.BOOK_SURPLUS} & set(effects):
        yield PaymentSucceeded(**about)
    if Effect.BOOK_PAID in effects:
        failures = page.invoice.failures
        yield InvoicePaid(**about_invoice, failures=failures, initiator=attempt.initiator)
    if isinstance(page.event, Declined):
        yield PaymentFailed(
            **about,
            decline_code=attempt.decline_code,
            decline_class=attempt.decline_class or "soft",
            failures=page.invoice.failures,
        )
    if Effect.BOOK_DISPUTE in effects:
        yield ChargebackReceived(**about)
    elif Effect.ALERT in effects:
        yield PaymentUnresolved(**about)
    if {Effect.BOOK_REFUND, Effect.BOOK_SURPLUS_RETURNED} & set(effects):
        yield RefundIssued(**about, reason=attempt.refund_reason or "surplus")


def _of_invoice(page: Page) -> dict[str, Any]:
    invoice = page.invoice
    return {
        "invoice_id": invoice.id,
        "subscription_id": page.terms.id,
        "customer_id": page.terms.customer_id,
        "plan_id": invoice.plan_id,
        "period_start": invoice.period_start,
        "period_end": invoice.period_end,
        "amount_minor": invoice.money.amount_minor,
        "currency": invoice.money.currency,
    }
