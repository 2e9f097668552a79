"""Applies events to sagas: locks the rows, asks the machine, and writes all that follows at once.

The renewal's steps, webhooks and requests come through here, so that a payment is the same thing
whoever tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from services.billing.bookkeeping import Bookkeeper
from services.billing.facts import Page
from services.billing.models import (
    AttemptState,
    Invoice,
    InvoiceState,
    Payment,
    PaymentAttempt,
    SubscriptionStatus,
    Terms,
)
from services.billing.rules.periods import period_end
from services.billing.saga import after
from services.billing.saga.state import (
    Attempt,
    Change,
    Declined,
    IllegalEvent,
    Opened,
    Saga,
    SagaEvent,
    Sent,
)
from services.billing.store.saga import SagaStore
from shared.messages.events import Event
from shared.workflow.ports import Connection

INVOICES = UUID("0c1f6f4e-2f4b-5d0e-9a59-5a2b0f3f7f61")
"""Root of the invoices' ids, which follow from subscription and period."""


class SubscriptionNotFound(Exception):
    """There is no such subscription."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription and period, locked until the transaction ends."""

    terms: Terms
    invoice: Invoice
    """A draft that no row has yet, where the period is not billed."""
    attempt: PaymentAttempt | None
    saga: Saga

    @property
    def stored(self) -> bool:
        """Whether the invoice has a row."""
        return self.invoice.state is not InvoiceState.DRAFT


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What an event made of a case."""

    case: Case
    change: Change

    @property
    def canceled(self) -> bool:
        """Whether the subscription ended by it."""
        was = self.case.terms.status
        return was is not self.change.saga.status is SubscriptionStatus.CANCELED


async def lock_case(
    connection: Connection, subscription_id: UUID, period_start: datetime | None = None
) -> Case:
    """The case of a period; without one, of the open invoice, or else of the period to come.

    Raises SubscriptionNotFound.
    """
    store = SagaStore(connection, subscription_id)
    terms = await store.terms()
    if terms is None:
        raise SubscriptionNotFound(f"there is no subscription {subscription_id}")
    if period_start is None:
        invoice = await store.open_invoice()
    else:
        invoice = await store.invoice(period_start)
    if invoice is None:
        return _case(terms, draft(terms), None)
    return _case(terms, invoice, await store.last_attempt(invoice.id))


async def happen(
    connection: Connection,
    subscription_id: UUID,
    event: SagaEvent,
    *,
    now: datetime,
    actor: str,
    publish: Callable[[Event], None],
    period_start: datetime | None = None,
    provider: str = "",
    payment: Payment | None = None,
) -> Applied:
    """Has the event happen to the case that `lock_case` finds, in the caller's transaction.

    `provider` is who an attempt goes to, `payment` what the provider told with the event. Raises
    IllegalEvent, which leaves all as it was, and SubscriptionNotFound.
    """
    case = await lock_case(connection, subscription_id, period_start)
    if payment is not None and (case.attempt is None or payment.key != case.attempt.key):
        # An earlier attempt's word, told late or twice, says nothing of the one in flight.
        raise IllegalEvent(f"the payment {payment.key} is not the last attempt's")
    if payment is not None and case.attempt is not None and is_second(case.attempt, payment):
        raise IllegalEvent(f"{payment.reference} is a second payment under {payment.key}")
    change = after(case.saga, event, now)
    is_next = case.invoice.period_start == period_start
    if isinstance(event, Opened) and period_start is not None and not is_next:
        raise IllegalEvent(f"the next period to be billed begins at {case.invoice.period_start}")
    applied = Applied(case=case, change=change)
    if change.saga != case.saga or payment is not None:
        attempt = _attempt(applied, event, now, provider, payment)
        page = Page(
            terms=case.terms,
            invoice=_invoice(case, change),
            stored=case.stored,
            attempt=attempt,
            change=change,
            event=event,
            changed=change.saga != case.saga,
            actor=actor,
            now=now,
        )
        await Bookkeeper(connection, page, publish).write()
    return applied


def is_second(attempt: PaymentAttempt, payment: Payment) -> bool:
    """Whether the provider has taken the attempt's money already, by another payment: as when it
    has forgotten a key that is sent again. What becomes of the second is not the attempt's."""
    taken = attempt.state is AttemptState.SUCCEEDED and attempt.reference is not None
    return taken and attempt.reference != payment.reference


def draft(terms: Terms) -> Invoice:
    """The invoice of the period to come, as it would be opened now."""
    start = terms.current_period_end
    return Invoice(
        id=uuid5(INVOICES, f"{terms.id}/{start.isoformat()}"),
        plan_id=terms.plan_id,
        period_start=start,
        period_end=period_end(
            terms.anchor_local, terms.periods + 1, terms.interval, terms.timezone
        ),
        money=terms.price,
        state=InvoiceState.DRAFT,
    )


def attempt_key(subscription_id: UUID, period_start: datetime, number: int) -> str:
    """The provider's key of an attempt: derived, so that a restored database asks for the same."""
    return f"{subscription_id}-{period_start:%Y%m%dT%H%M%SZ}-{number}"


def _case(terms: Terms, invoice: Invoice, attempt: PaymentAttempt | None) -> Case:
    saga = Saga(
        status=terms.status,
        created_at=terms.created_at,
        cancel_at_period_end=terms.cancel_at_period_end,
        past_due_since=terms.past_due_since,
        invoice=invoice.state,
        period_start=invoice.period_start,
        extended=invoice.paid_at is not None,
        failures=invoice.failures,
        automatic=invoice.automatic,
        last_automatic_at=invoice.last_automatic_at,
        requested_by=invoice.requested_by,
        disputed=invoice.disputed,
        needs_operator=invoice.needs_operator,
        attempt=None if attempt is None else _decided(attempt),
    )
    return Case(terms=terms, invoice=invoice, attempt=attempt, saga=saga)


def _decided(attempt: PaymentAttempt) -> Attempt:
    return Attempt(
        number=attempt.number,
        initiator=attempt.initiator,
        state=attempt.state,
        sent_at=attempt.sent_at,
        since=attempt.since,
        looks=attempt.looks,
        not_found=attempt.not_found,
        sends=attempt.sends,
        refund=attempt.refund_state,
        refund_reason=attempt.refund_reason,
    )


def _invoice(case: Case, change: Change) -> Invoice:
    saga, invoice = change.saga, case.invoice
    reopened = saga.disputed and not case.saga.disputed
    return replace(
        invoice,
        state=saga.invoice,
        failures=saga.failures,
        automatic=saga.automatic,
        last_automatic_at=saga.last_automatic_at,
        requested_by=saga.requested_by,
        disputed=saga.disputed,
        needs_operator=saga.needs_operator,
        reopened=invoice.reopened + reopened,
    )


def _attempt(
    applied: Applied, event: SagaEvent, now: datetime, provider: str, payment: Payment | None
) -> PaymentAttempt | None:
    """The attempt's row as the event leaves it."""
    case = applied.case
    decided, known = applied.change.saga.attempt, case.attempt
    if decided is None:
        return None
    if known is None or known.number != decided.number:
        known = PaymentAttempt(
            number=decided.number,
            provider=provider,
            key=attempt_key(case.terms.id, case.invoice.period_start, decided.number),
            initiator=decided.initiator,
            payment_method=case.terms.payment_method or "",
            money=case.invoice.money,
            state=decided.state,
            sent_at=now,
            created_at=now,
        )
    elif known.state is AttemptState.NOT_SENT and isinstance(event, Sent):
        # No provider has seen the key: it may stand for the method that is the customer's by now,
        # and go to whom is asked by now.
        known = replace(
            known,
            payment_method=case.terms.payment_method or "",
            provider=provider or known.provider,
        )
    told: dict[str, str | None] = {}
    if payment is not None:
        told = {
            "reference": payment.reference,
            "action_url": payment.action_url or known.action_url,
        }
    code, kind = known.decline_code, known.decline_class
    if isinstance(event, Declined) and decided.state is AttemptState.DECLINED:
        code, kind = event.code, event.kind
    finishes = decided.state.finished and known.finished_at is None
    return replace(
        known,
        state=decided.state,
        decline_code=code,
        decline_class=kind,
        sent_at=decided.sent_at,
        sends=decided.sends,
        since=decided.since,
        looks=decided.looks,
        not_found=decided.not_found,
        refund_state=decided.refund,
        refund_reason=decided.refund_reason,
        finished_at=now if finishes else known.finished_at,
        **told,
    )
