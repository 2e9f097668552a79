"""What an event makes of a saga."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from services.billing.models import (
    AttemptState,
    DeclineClass,
    Initiator,
    InvoiceState,
    SubscriptionStatus,
)
from services.billing.saga.moves import SEND_AGAIN_AFTER
from services.billing.saga.returns import disputed, refunded
from services.billing.saga.state import (
    IN_FLIGHT,
    Attempt,
    Canceled,
    Change,
    Declined,
    Disputed,
    DisputeLost,
    DisputeWon,
    Effect,
    Escalated,
    ExtensionFailed,
    GivenUp,
    IllegalEvent,
    MethodChanged,
    NotFound,
    NotSent,
    NotTold,
    Opened,
    PayNow,
    Pending,
    Refunded,
    RefundFailed,
    RefundRequested,
    Saga,
    SagaEvent,
    Send,
    Sent,
    Succeeded,
    Unknown,
    last_attempt,
)


def after(saga: Saga, event: SagaEvent, now: datetime) -> Change:
    """The saga after the event, and what is written with it; the same saga where the event tells
    nothing new. Raises IllegalEvent for what cannot happen to it."""
    match event:
        case Opened():
            return _opened(saga)
        case Sent():
            return _sent(saga, event, now)
        case Succeeded():
            return _succeeded(saga)
        case ExtensionFailed():
            return _extension_failed(saga)
        case Declined():
            return _declined(saga, event.kind, now)
        case Pending() | Unknown() | NotSent() | NotFound() | NotTold():
            return _followed(saga, event, now)
        case Escalated() | GivenUp():
            return _left(saga, event)
        case MethodChanged():
            return _method_changed(saga, now)
        case PayNow():
            return _pay_now(saga, event.by)
        case Canceled():
            return _canceled(saga)
        case Disputed() | DisputeWon() | DisputeLost():
            return disputed(saga, event)
        case RefundRequested() | Refunded() | RefundFailed():
            return refunded(saga, event)


def _opened(saga: Saga) -> Change:
    if saga.invoice is not InvoiceState.DRAFT or saga.status is SubscriptionStatus.CANCELED:
        raise IllegalEvent("only the draft of a subscription that goes on is opened")
    return Change(saga=replace(saga, invoice=InvoiceState.OPEN), effects=(Effect.BOOK_OPENED,))


def _sent(saga: Saga, event: Sent, now: datetime) -> Change:
    last = saga.attempt
    if not saga.owed:
        raise IllegalEvent("nothing is owed")
    if last is not None and last.refund == "due":
        raise IllegalEvent("the last attempt's money has to go back first")
    requested_by = None
    if last is None or last.state.finished:
        number = 1 if last is None else last.number + 1
        attempt = Attempt(number=number, initiator=event.initiator, sent_at=now)
    elif last.state is AttemptState.NOT_SENT:
        attempt = replace(last, state=AttemptState.SUBMITTED, sent_at=now, sends=last.sends + 1)
    elif last.state is AttemptState.UNKNOWN and last.not_found >= SEND_AGAIN_AFTER:
        # Still unknown: what was sent before may yet have arrived.
        attempt = replace(last, sent_at=now, not_found=0, sends=last.sends + 1)
        # Whoever asked meanwhile, for a new method, asked for another attempt than this one.
        requested_by = saga.requested_by
    else:
        raise IllegalEvent("an attempt is in flight")
    if event.number != attempt.number:
        raise IllegalEvent(f"the next attempt is number {attempt.number}")
    automatic = event.initiator.automatic
    return Change(
        saga=replace(
            saga,
            attempt=attempt,
            requested_by=requested_by,
            last_automatic_at=now if automatic else saga.last_automatic_at,
        )
    )


def _succeeded(saga: Saga) -> Change:
    attempt = last_attempt(saga)
    if attempt.state is AttemptState.SUCCEEDED:
        return Change(saga=saga)
    if attempt.state is AttemptState.DECLINED:
        raise IllegalEvent("the attempt was declined: its money cannot have moved")
    attempt = replace(attempt, state=AttemptState.SUCCEEDED)
    if not saga.owed:
        attempt = replace(attempt, refund="due", refund_reason="surplus")
        surplus = replace(saga, attempt=attempt, needs_operator=False)
        return Change(saga=surplus, effects=(Effect.BOOK_SURPLUS,))
    paid = replace(
        saga,
        invoice=InvoiceState.PAID,
        extended=True,
        automatic=True,
        requested_by=None,
        disputed=False,
        needs_operator=False,
        attempt=attempt,
    )
    if saga.extended:
        return Change(saga=paid, effects=(Effect.BOOK_PAID,))
    paid = replace(paid, status=SubscriptionStatus.ACTIVE, past_due_since=None)
    return Change(saga=paid, effects=(Effect.BOOK_PAID, Effect.EXTEND))


def _extension_failed(saga: Saga) -> Change:
    attempt = last_attempt(saga)
    if attempt.state.finished:
        raise IllegalEvent("the attempt is finished, and its outcome written down")
    given_back = replace(
        attempt, state=AttemptState.SUCCEEDED, refund="due", refund_reason="surplus"
    )
    return Change(
        # Whatever it was, it would only happen again.
        saga=replace(saga, attempt=given_back, automatic=False, needs_operator=True),
        effects=(Effect.BOOK_SURPLUS, Effect.ALERT),
    )


def _declined(saga: Saga, kind: DeclineClass, now: datetime) -> Change:
    attempt = last_attempt(saga)
    if attempt.state in {AttemptState.DECLINED, AttemptState.VOID}:
        return Change(saga=saga)
    if attempt.state is AttemptState.SUCCEEDED:
        raise IllegalEvent("the attempt succeeded: it cannot be declined any more")
    saga = replace(
        saga,
        attempt=replace(attempt, state=AttemptState.DECLINED),
        failures=saga.failures + attempt.initiator.automatic,
        # Asked for while it was in flight: the method that is refused is not the customer's now.
        automatic=saga.automatic and (kind == "soft" or saga.requested_by is not None),
        needs_operator=False,
    )
    if not saga.owed:
        return Change(saga=saga)
    begun = saga.status in {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING}
    # A period that was paid once was given: its chargeback ends no other one.
    if begun and not saga.extended:
        saga = replace(saga, status=SubscriptionStatus.PAST_DUE, past_due_since=now)
    return Change(saga=saga, effects=(Effect.TELL_FAILED,))


def _followed(
    saga: Saga, event: Pending | Unknown | NotSent | NotFound | NotTold, now: datetime
) -> Change:
    """An answer that does not finish the attempt; a finished one never goes back."""
    attempt = last_attempt(saga)
    if attempt.state.finished:
        return Change(saga=saga)
    state, since, looks = attempt.state, attempt.since, attempt.looks
    effects: tuple[Effect, ...] = ()
    match event:
        case Pending():
            if state is AttemptState.PENDING:
                attempt = replace(attempt, looks=looks + 1)
            else:
                attempt = replace(
                    attempt, state=AttemptState.PENDING, since=now, looks=0, not_found=0
                )
                if event.needs_customer:
                    effects = (Effect.TELL_FAILED,)
        case NotSent():
            # One that may have been sent before is not known to be nowhere.
            if state is AttemptState.SUBMITTED and since is None:
                attempt = replace(attempt, state=AttemptState.NOT_SENT)
        case Unknown():
            if state in {AttemptState.SUBMITTED, AttemptState.NOT_SENT}:
                attempt = replace(attempt, state=AttemptState.UNKNOWN, since=since or now)
        case NotFound() | NotTold():
            attempt = replace(
                attempt,
                state=AttemptState.UNKNOWN if state is AttemptState.SUBMITTED else state,
                since=since or attempt.sent_at,
                looks=looks + 1,
                not_found=attempt.not_found + isinstance(event, NotFound),
            )
    return Change(saga=replace(saga, attempt=attempt), effects=effects)


def _left(saga: Saga, event: Escalated | GivenUp) -> Change:
    attempt = last_attempt(saga)
    if attempt.state not in {AttemptState.UNKNOWN, AttemptState.NOT_SENT}:
        raise IllegalEvent("the attempt is not one that nobody knows of")
    if isinstance(event, Escalated):
        return Change(saga=replace(saga, needs_operator=True), effects=(Effect.ALERT,))
    if saga.owed:
        raise IllegalEvent("the money is asked for, and the attempt goes on")
    given_up = replace(attempt, state=AttemptState.VOID)
    return Change(saga=replace(saga, attempt=given_up, needs_operator=False))


def _method_changed(saga: Saga, now: datetime) -> Change:
    if not saga.owed or saga.disputed:
        return Change(saga=saga)
    # By the old method, which has failed or still may.
    tried = saga.attempt is not None and saga.attempt.state is not AttemptState.SUCCEEDED
    return Change(
        saga=replace(
            saga,
            automatic=True,
            # The days that passed without a retry do not come again: it is tried now.
            last_automatic_at=saga.last_automatic_at if saga.automatic else now,
            requested_by=Initiator.CUSTOMER if tried else saga.requested_by,
        )
    )


def _pay_now(saga: Saga, by: Initiator) -> Change:
    if not saga.owed:
        raise IllegalEvent("nothing is owed")
    if saga.attempt is not None and saga.attempt.state in IN_FLIGHT:
        raise IllegalEvent("an attempt is in flight")
    return Change(saga=replace(saga, requested_by=by))


def _canceled(saga: Saga) -> Change:
    if saga.status is SubscriptionStatus.CANCELED:
        return Change(saga=saga)
    attempt, invoice = saga.attempt, saga.invoice
    effects = [Effect.TELL_CANCELED, Effect.SCHEDULE_CLEANUP]
    if invoice is InvoiceState.OPEN and not saga.disputed:
        invoice = InvoiceState.UNCOLLECTIBLE
        effects.insert(0, Effect.BOOK_WRITE_OFF)
    elif invoice is InvoiceState.DRAFT:
        invoice = InvoiceState.VOID
    if attempt is not None and attempt.state is AttemptState.NOT_SENT and attempt.since is None:
        attempt = replace(attempt, state=AttemptState.VOID)
    canceled = replace(
        saga,
        status=SubscriptionStatus.CANCELED,
        invoice=invoice,
        attempt=attempt,
        requested_by=None,
    )
    return Change(saga=canceled, effects=tuple(effects))


def as_sent(move: Send) -> Sent:
    """The event that obeys the move."""
    return Sent(number=move.number, initiator=move.initiator)
