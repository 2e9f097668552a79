"""Money that goes back: by a customer's bank, or by a refund."""

from __future__ import annotations

from msgspec.structs import replace

from services.billing.models import AttemptState, InvoiceState
from services.billing.saga.state import (
    IN_FLIGHT,
    Change,
    Disputed,
    DisputeLost,
    DisputeWon,
    Effect,
    IllegalEvent,
    Refunded,
    RefundFailed,
    RefundRequested,
    Saga,
    last_attempt,
)


def disputed(saga: Saga, event: Disputed | DisputeWon | DisputeLost) -> Change:
    """What a chargeback, or a decision on it, makes of the saga. Raises IllegalEvent."""
    attempt = last_attempt(saga)
    if isinstance(event, Disputed):
        if saga.disputed:
            return Change(saga=saga)
        kept = attempt.state is AttemptState.SUCCEEDED and attempt.refund is None
        if saga.invoice is not InvoiceState.PAID or not kept:
            raise IllegalEvent("there is no money that a bank could take back")
        opened = replace(saga, invoice=InvoiceState.OPEN, disputed=True, automatic=False)
        return Change(saga=opened, effects=(Effect.BOOK_DISPUTE, Effect.ALERT))
    if not saga.disputed:
        raise IllegalEvent("nothing is disputed")
    if attempt.state in IN_FLIGHT:
        raise IllegalEvent("an attempt is in flight")
    decided = replace(saga, disputed=False, requested_by=None)
    if isinstance(event, DisputeWon):
        won = replace(decided, invoice=InvoiceState.PAID, automatic=True)
        return Change(saga=won, effects=(Effect.BOOK_DISPUTE_WON,))
    lost = replace(decided, invoice=InvoiceState.UNCOLLECTIBLE)
    return Change(saga=lost, effects=(Effect.BOOK_WRITE_OFF,))


def refunded(saga: Saga, event: RefundRequested | Refunded | RefundFailed) -> Change:
    """What a refund, asked for or carried out, makes of the saga. Raises IllegalEvent."""
    attempt = last_attempt(saga)
    if isinstance(event, RefundRequested):
        if saga.invoice is not InvoiceState.PAID or attempt.state is not AttemptState.SUCCEEDED:
            raise IllegalEvent("the invoice is not paid")
        if attempt.refund is not None:
            raise IllegalEvent("the money was given back, or is about to be")
        attempt = replace(attempt, refund="due", refund_reason="requested")
        return Change(saga=replace(saga, attempt=attempt))
    if attempt.refund == "refunded":
        return Change(saga=saga)
    if attempt.refund is None and isinstance(event, Refunded):
        # Given back at the provider's own desk.
        attempt = last_attempt(refunded(saga, RefundRequested()).saga)
    if attempt.refund is None:
        raise IllegalEvent("nobody asked for the money back")
    if isinstance(event, RefundFailed):
        attempt = replace(attempt, refund="failed")
        failed = replace(saga, attempt=attempt, needs_operator=True)
        return Change(saga=failed, effects=(Effect.ALERT,))
    surplus = attempt.refund_reason == "surplus"
    given_back = replace(attempt, refund="refunded")
    # An operator who saw to a refund that had failed is done; a period that failed still waits.
    return Change(
        saga=replace(saga, attempt=given_back, needs_operator=saga.needs_operator and saga.owed),
        effects=(Effect.BOOK_SURPLUS_RETURNED if surplus else Effect.BOOK_REFUND,),
    )
