"""Stripe's objects, as far as the adapter reads them, and what they are in the port's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from services.billing.models import Money, Payment, ProviderEvent, ProviderEventKind

CHARGE_KEY = "charge_key"
"""The name in a payment's metadata under which its key is found."""

REFUND_KEY = "refund_key"

NEEDS_CUSTOMER = "authentication_required"
"""How a bank declines a charge for which the customer has to be there."""

HUNDREDTHS_AT_STRIPE = frozenset({"ISK", "UGX"})
"""Currencies without a minor unit of which Stripe counts hundredths all the same."""

INTENT_EVENTS: dict[str, ProviderEventKind] = {
    "payment_intent.succeeded": "succeeded",
    "payment_intent.payment_failed": "declined",
    "payment_intent.canceled": "declined",
    "payment_intent.processing": "pending",
    "payment_intent.requires_action": "pending",
}


class Identified(msgspec.Struct, frozen=True):
    """Any object of which the id is enough."""

    id: str


class PaymentError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last attempt to pay failed."""

    code: str | None = None
    decline_code: str | None = None
    payment_method: Identified | None = None


class Redirect(msgspec.Struct, frozen=True):
    """Where the customer confirms a payment."""

    url: str


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment waits for."""

    redirect_to_url: Redirect | None = None


class StripeCharge(msgspec.Struct, frozen=True, kw_only=True):
    """The movement of money behind a payment."""

    id: str
    amount: int
    currency: str
    amount_refunded: int = 0
    payment_intent: str | None = None
    payment_method: str | None = None
    metadata: dict[str, str] = {}


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """A chargeback. It tells its payment's id, but not the payment's metadata."""

    amount: int
    currency: str
    status: str = ""
    payment_intent: str | None = None

    @property
    def asks_only(self) -> bool:
        """Whether the bank has a question, and has left the money where it is."""
        return self.status.startswith("warning_")


class StripeRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Money that went back, or was meant to."""

    id: str
    amount: int
    status: str | None = None
    metadata: dict[str, str] | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A PaymentIntent: one payment with its attempts, of which the adapter makes one."""

    id: str
    amount: int
    currency: str
    status: str
    created: int
    metadata: dict[str, str] = {}
    payment_method: str | Identified | None = None
    last_payment_error: PaymentError | None = None
    next_action: NextAction | None = None
    latest_charge: str | StripeCharge | None = None
    cancellation_reason: str | None = None

    @property
    def needs_customer(self) -> bool:
        """Whether the bank wants the customer to confirm it."""
        error = self.last_payment_error
        return (
            self.status == "requires_payment_method"
            and error is not None
            and error.code == NEEDS_CUSTOMER
        )

    @property
    def settledness(self) -> tuple[bool, bool, int]:
        """Of several under one key the greatest is the one that counts."""
        state = _state(self)
        return state == "succeeded", state == "pending", self.created


class _Content(msgspec.Struct, frozen=True):
    object: msgspec.Raw


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    created: int
    data: _Content


def read_intent(answer: object) -> Intent:
    """A PaymentIntent from the SDK's plain values."""
    return msgspec.convert(answer, Intent)


def find_refund(answers: object, key: str) -> StripeRefund | None:
    """The refund under a key among the SDK's plain values."""
    for each in msgspec.convert(answers, list[StripeRefund]):
        if (each.metadata or {}).get(REFUND_KEY) == key:
            return each
    return None


def payment_of(intent: Intent) -> Payment:
    """The payment that an intent is."""
    charge = intent.latest_charge
    refunded = charge.amount_refunded if isinstance(charge, StripeCharge) else 0
    redirect = intent.next_action.redirect_to_url if intent.next_action else None
    state = _state(intent)
    return Payment(
        key=intent.metadata.get(CHARGE_KEY, ""),
        reference=intent.id,
        state=state,
        money=money_of(intent.amount, intent.currency),
        refunded_minor=money_of(refunded, intent.currency).amount_minor,
        decline_code=_decline_code(intent) if state == "declined" else None,
        action_url=redirect.url if redirect and state == "pending" else None,
        payment_method=_payment_method(intent),
    )


def read_event(body: bytes) -> ProviderEvent:
    """The event in a webhook's body. Raises msgspec.MsgspecError."""
    event = msgspec.json.decode(body, type=_Event)
    kind, payment = _told(event.type, event.data.object)
    return ProviderEvent(
        id=event.id,
        kind=kind if payment is not None else None,
        payment=payment,
        occurred_at=datetime.fromtimestamp(event.created, UTC),
    )


def amount_of(money: Money) -> int:
    """The amount as Stripe counts it."""
    return money.amount_minor * _factor(money.currency)


def money_of(amount: int, currency: str) -> Money:
    """An amount of Stripe's as money."""
    code = currency.upper()
    return Money(amount_minor=amount // _factor(code), currency=code)


def _told(type_: str, content: msgspec.Raw) -> tuple[ProviderEventKind | None, Payment | None]:
    if (kind := INTENT_EVENTS.get(type_)) is not None:
        intent = msgspec.json.decode(content, type=Intent)
        # A decline that the adapter itself answers by asking for the customer's confirmation.
        ours = CHARGE_KEY in intent.metadata and not intent.needs_customer
        return kind, payment_of(intent) if ours else None
    if type_ == "charge.refunded":
        return "refunded", _refunded(msgspec.json.decode(content, type=StripeCharge))
    if type_ == "charge.dispute.created":
        return "disputed", _disputed(msgspec.json.decode(content, type=Dispute))
    return None, None


def _refunded(charge: StripeCharge) -> Payment | None:
    if charge.payment_intent is None or CHARGE_KEY not in charge.metadata:
        return None
    return Payment(
        key=charge.metadata[CHARGE_KEY],
        reference=charge.payment_intent,
        state="succeeded",
        money=money_of(charge.amount, charge.currency),
        refunded_minor=money_of(charge.amount_refunded, charge.currency).amount_minor,
        payment_method=charge.payment_method,
    )


def _disputed(dispute: Dispute) -> Payment | None:
    if dispute.payment_intent is None or dispute.asks_only:
        return None
    money = money_of(dispute.amount, dispute.currency)
    return Payment(key="", reference=dispute.payment_intent, state="succeeded", money=money)


def _state(intent: Intent) -> Any:
    if intent.status == "succeeded":
        return "succeeded"
    if intent.status in {"requires_payment_method", "canceled"}:
        return "declined"
    return "pending"


def _decline_code(intent: Intent) -> str | None:
    error = intent.last_payment_error
    if error is None:
        return intent.cancellation_reason
    return error.decline_code or error.code


def _payment_method(intent: Intent) -> str | None:
    error = intent.last_payment_error
    method = intent.payment_method or (error.payment_method if error else None)
    return method.id if isinstance(method, Identified) else method


def _factor(currency: str) -> int:
    return 100 if currency in HUNDREDTHS_AT_STRIPE else 1
