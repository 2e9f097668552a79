"""Where a saga stands, what may happen to it, and what must be done when it has."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from services.billing.models import (
    AttemptState,
    CancelReason,
    DeclineClass,
    Initiator,
    InvoiceState,
    SubscriptionStatus,
)

IN_FLIGHT = frozenset({AttemptState.SUBMITTED, AttemptState.PENDING, AttemptState.UNKNOWN})
"""States in which money may be on its way."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The last payment attempt: never are two unfinished."""

    number: int
    initiator: Initiator
    state: AttemptState = AttemptState.SUBMITTED
    sent_at: datetime
    """When it was last sent, or was about to be."""
    since: datetime | None = None
    """Since when it is pending or unknown."""
    looks: int = 0
    """Look-ups since then."""
    not_found: int = 0
    """Look-ups that found nothing under its key, since it was last sent."""
    sends: int = 1
    refund: Literal["due", "refunded", "failed"] | None = None
    refund_reason: Literal["surplus", "requested"] | None = None


class Saga(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription, the invoice of one period and its last attempt, as far as they decide."""

    status: SubscriptionStatus
    created_at: datetime
    """Of the subscription: an incomplete one has 23 hours from then."""
    cancel_at_period_end: bool = False
    past_due_since: datetime | None = None
    invoice: InvoiceState = InvoiceState.DRAFT
    period_start: datetime
    """Of the invoice, which is the end of the period paid for before: when billing is due."""
    extended: bool = False
    """Whether the period was given already: what is paid after a chargeback gives it no more."""
    failures: int = 0
    """Definitive ones, of attempts that no person asked for."""
    automatic: bool = True
    """Whether attempts that no person asks for may be made."""
    last_automatic_at: datetime | None = None
    requested_by: Initiator | None = None
    """Who asked for an attempt at once."""
    disputed: bool = False
    needs_operator: bool = False
    attempt: Attempt | None = None

    @property
    def owed(self) -> bool:
        """Whether money is asked for: what comes although it is not goes back."""
        return self.invoice is InvoiceState.OPEN and self.status is not SubscriptionStatus.CANCELED


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The invoice was written."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An attempt is about to be sent; `number` is the last one's where that is sent again."""

    number: int
    initiator: Initiator


class Succeeded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The money has moved."""


class ExtensionFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The money has moved, and what it paid for can never be written down."""


class Declined(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The money will not move under this key."""

    kind: DeclineClass
    code: str | None = None
    """Why, in the provider's word."""


class Pending(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The provider has the attempt and does not know yet."""

    needs_customer: bool = False
    """As for 3-D Secure: the customer is sent a link."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was sent, and nobody knows what became of it."""


class NotSent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It never reached the provider."""


class NotFound(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A look-up found nothing under its key."""


class NotTold(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A look-up got no answer."""


class Escalated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """No look-up told for too long: a person must."""


class GivenUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nobody will send the attempt, or look for it, any more."""


class MethodChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The customer pays by another method from now on."""


class PayNow(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A person asks for an attempt at once."""

    by: Initiator


class Canceled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The subscription ends."""

    reason: CancelReason


class Disputed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The customer's bank took the money back."""


class DisputeWon(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The bank gave the money back."""


class DisputeLost(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The money is gone, and is not asked for again."""


class RefundRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An operator gives the money of a paid invoice back."""


class Refunded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The provider gave the money back."""


class RefundFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The provider will not give it back."""


SagaEvent = (
    Opened
    | Sent
    | Succeeded
    | ExtensionFailed
    | Declined
    | Pending
    | Unknown
    | NotSent
    | NotFound
    | NotTold
    | Escalated
    | GivenUp
    | MethodChanged
    | PayNow
    | Canceled
    | Disputed
    | DisputeWon
    | DisputeLost
    | RefundRequested
    | Refunded
    | RefundFailed
)


class Effect(StrEnum):
    """What is written in the transaction of the change, beside the saga itself."""

    BOOK_OPENED = "book_opened"
    BOOK_PAID = "book_paid"
    EXTEND = "extend"
    BOOK_SURPLUS = "book_surplus"
    BOOK_SURPLUS_RETURNED = "book_surplus_returned"
    BOOK_REFUND = "book_refund"
    BOOK_WRITE_OFF = "book_write_off"
    BOOK_DISPUTE = "book_dispute"
    BOOK_DISPUTE_WON = "book_dispute_won"
    TELL_FAILED = "tell_failed"
    TELL_CANCELED = "tell_canceled"
    SCHEDULE_CLEANUP = "schedule_cleanup"
    ALERT = "alert"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an event made of a saga."""

    saga: Saga
    effects: tuple[Effect, ...] = ()


class IllegalEvent(Exception):
    """The event cannot happen to a saga that stands so; nothing changes."""


def last_attempt(saga: Saga) -> Attempt:
    """The last attempt. Raises IllegalEvent where none was made: what is told is of another."""
    if saga.attempt is None:
        raise IllegalEvent("nothing was ever sent")
    return saga.attempt


class Send(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Have the provider take the money: the last attempt again, or a new one."""

    number: int
    initiator: Initiator


class LookUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask the provider what became of the last attempt."""


class GiveBack(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Have the provider refund the last attempt."""


class Happen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing to ask anybody: this event is due."""

    event: Opened | Canceled | Escalated | GivenUp


class Wait(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing to do before the instant, or before something happens."""

    until: datetime | None


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing will ever be to do."""


Move = Send | LookUp | GiveBack | Happen | Wait | Done
