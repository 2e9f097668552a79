"""The service's own values, as its store reads and its rules and saga decide them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; nothing leaves `canceled`."""

    TRIALING = "trialing"
    INCOMPLETE = "incomplete"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    CANCELED = "canceled"


class InvoiceState(StrEnum):
    """Where an invoice stands; a chargeback alone brings a paid one back to `open`."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class AttemptState(StrEnum):
    """What is known of one payment attempt."""

    SUBMITTED = "submitted"
    PENDING = "pending"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    VOID = "void"

    @property
    def finished(self) -> bool:
        """Whether the provider can move no more money under its key."""
        return self in {AttemptState.SUCCEEDED, AttemptState.DECLINED, AttemptState.VOID}


class Initiator(StrEnum):
    """Who asked for an attempt; only what a cycle and dunning do counts as a failure."""

    CYCLE = "cycle"
    DUNNING = "dunning"
    CUSTOMER = "customer"
    ADMIN = "admin"

    @property
    def automatic(self) -> bool:
        """Whether no person asked for it."""
        return self in {Initiator.CYCLE, Initiator.DUNNING}


DeclineClass = Literal["hard", "soft"]
Interval = Literal["month", "year"]
CancelReason = Literal["requested", "period_end", "non_payment", "incomplete"]
Metric = Literal["api_calls", "storage_bytes"]


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """An amount in minor units of an ISO 4217 currency."""

    amount_minor: int
    currency: str


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription with what its plan and customer say of billing it; its row is locked."""

    id: UUID
    customer_id: UUID
    plan_id: str
    status: SubscriptionStatus
    version: int
    price: Money
    interval: Interval
    timezone: str
    payment_method: str | None
    customer_reference: str | None
    anchor_local: datetime
    periods: int
    current_period_end: datetime
    cancel_at_period_end: bool
    past_due_since: datetime | None
    created_at: datetime


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A period and what it costs, with what its saga remembers; its row is locked."""

    id: UUID
    plan_id: str
    period_start: datetime
    period_end: datetime
    money: Money
    state: InvoiceState
    paid_at: datetime | None = None
    failures: int = 0
    automatic: bool = True
    last_automatic_at: datetime | None = None
    requested_by: Initiator | None = None
    disputed: bool = False
    needs_operator: bool = False
    reopened: int = 0


class PaymentAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to take an invoice's money."""

    number: int
    provider: str
    key: str
    reference: str | None = None
    initiator: Initiator
    payment_method: str
    money: Money
    state: AttemptState
    decline_code: str | None = None
    decline_class: DeclineClass | None = None
    action_url: str | None = None
    sent_at: datetime
    sends: int = 1
    since: datetime | None = None
    looks: int = 0
    not_found: int = 0
    refund_state: Literal["due", "refunded", "failed"] | None = None
    refund_reason: Literal["surplus", "requested"] | None = None
    created_at: datetime
    finished_at: datetime | None = None


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked to take, once per key."""

    key: str
    customer_reference: str
    """The customer's id at the provider."""
    payment_method: str
    """The provider's own name of it, such as `pm_card_visa`."""
    money: Money
    metadata: dict[str, str] = {}
    """Ids alone: it is shown in the provider's dashboard."""


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is asked to give back, once per key."""

    key: str
    charge_key: str
    provider_reference: str
    """The payment's id at the provider."""
    money: Money


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider knows it."""

    key: str
    reference: str
    """Its id at the provider."""
    state: Literal["succeeded", "declined", "pending"]
    money: Money
    refunded_minor: int = 0
    decline_code: str | None = None
    action_url: str | None = None
    """Where the customer must confirm a pending one."""
    payment_method: str | None = None


class ProviderCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider is told of a customer."""

    customer_id: UUID
    email: str | None
    timezone: str
    payment_method: str | None
    reference: str | None = None
    """The provider's id of them; None where it has none yet."""
    is_erased: bool = False


ProviderEventKind = Literal["succeeded", "declined", "pending", "refunded", "disputed"]


class ProviderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook whose signature held, as far as the service understands it."""

    id: str
    kind: ProviderEventKind | None
    """None: genuine, but about nothing that the service keeps."""
    payment: Payment | None
    """The payment as it is after the event."""
    occurred_at: datetime
