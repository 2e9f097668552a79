"""What the billing service answers to commands and queries."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from shared.messages.base import Message
from shared.messages.billing.requests import Limits
from shared.messages.billing.values import Interval, Metric


class Customer(Message, frozen=True, kw_only=True):
    """Who is billed."""

    id: UUID
    external_id: str | None
    email: str | None
    timezone: str
    currency: str
    payment_method: str | None
    created_at: datetime
    anonymised_at: datetime | None
    version: int
    """Grows with every change of what the payment provider is told."""


class Plan(Message, frozen=True, kw_only=True):
    """What can be subscribed to."""

    id: str
    name: str
    price_minor: int
    price: str
    """As people read it, such as EUR 9.99."""
    currency: str
    interval: Interval
    limits: Limits
    trial_days: int
    active: bool
    created_at: datetime


class Plans(Message, frozen=True, kw_only=True):
    """The cheapest first, by currency."""

    plans: tuple[Plan, ...]


class Subscription(Message, frozen=True, kw_only=True):
    """What a customer has, and until when it is paid."""

    id: UUID
    customer_id: UUID
    plan_id: str
    status: str
    """trialing, incomplete, active, past_due or canceled."""
    current_period_start: datetime
    current_period_end: datetime
    trial_end: datetime | None
    cancel_at_period_end: bool
    past_due_since: datetime | None
    canceled_at: datetime | None
    cancel_reason: str | None
    """requested, period_end, non_payment or incomplete."""
    created_at: datetime
    version: int
    """Grows with every change of status, plan or period."""


class Subscriptions(Message, frozen=True, kw_only=True):
    """Those of a customer, in the order they were made."""

    subscriptions: tuple[Subscription, ...]


class SubscriptionEntry(Message, frozen=True, kw_only=True):
    """One change of a subscription."""

    version: int
    name: str
    previous_status: str
    status: str
    actor: str
    data: msgspec.Raw
    at: datetime


class SubscriptionHistory(Message, frozen=True, kw_only=True):
    """All changes of a subscription, in order."""

    entries: tuple[SubscriptionEntry, ...]


class PaymentAttempt(Message, frozen=True, kw_only=True):
    """One attempt to take an invoice's money."""

    number: int
    initiator: str
    """cycle, dunning, customer or admin."""
    provider: str
    key: str
    reference: str | None
    """The payment's id at the provider."""
    state: str
    """submitted, pending, unknown, not_sent, succeeded, declined or void."""
    decline_code: str | None
    decline_class: str | None
    action_url: str | None
    """Where the customer must confirm a pending one."""
    refund: str | None
    """due, refunded or failed."""
    sent_at: datetime
    finished_at: datetime | None


class Invoice(Message, frozen=True, kw_only=True):
    """A period of a subscription and what it costs."""

    id: UUID
    subscription_id: UUID
    customer_id: UUID
    plan_id: str
    period_start: datetime
    period_end: datetime
    amount_minor: int
    amount: str
    """As people read it, such as EUR 9.99."""
    currency: str
    state: str
    """draft, open, paid, void or uncollectible."""
    opened_at: datetime
    paid_at: datetime | None
    closed_at: datetime | None
    failures: int
    """Declined attempts that no person asked for."""
    automatic: bool
    """Whether it is charged again without anybody asking."""
    disputed: bool
    needs_operator: bool
    attempts: tuple[PaymentAttempt, ...]


class Invoices(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    invoices: tuple[Invoice, ...]
    next_cursor: UUID | None = None


class MetricUsage(Message, frozen=True, kw_only=True):
    """Use in the period that a subscription is in; `limit` null is unlimited."""

    subscription_id: UUID
    plan_id: str
    metric: Metric
    used: int
    limit: int | None
    period_start: datetime
    period_end: datetime | None
    """None while the next period is not paid for yet."""


class CustomerUsage(Message, frozen=True, kw_only=True):
    """Use under each subscription that is not canceled, nor incomplete."""

    customer_id: UUID
    usage: tuple[MetricUsage, ...]


class Balance(Message, frozen=True, kw_only=True):
    """Sum of one account's entries in the ledger: debits are above zero."""

    account: str
    currency: str
    amount_minor: int


class Balances(Message, frozen=True, kw_only=True):
    """A customer's part of each account, which together are zero."""

    customer_id: UUID
    balances: tuple[Balance, ...]


class WebhookTaken(Message, frozen=True, kw_only=True):
    """What became of a provider's event, which is kept in any case."""

    event_id: str
    outcome: str
    """applied; parked, until its payment is known here; ignored, for it is about nothing that is
    kept here; or contradicted, which operators are told of."""
