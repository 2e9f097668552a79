"""Rows as messages."""

from __future__ import annotations

from typing import Any

import msgspec

from services.billing.models import Money
from services.billing.rules.money import format_money
from shared.messages.billing import (
    Customer,
    Invoice,
    Limits,
    PaymentAttempt,
    Plan,
    Subscription,
    SubscriptionEntry,
)

CUSTOMER = """
    id, external_id, email, tz AS timezone, currency, payment_method, version, created_at,
    anonymised_at
"""

SUBSCRIPTION = """
    id, customer_id, plan_id, status, current_period_start, current_period_end, trial_end,
    cancel_at_period_end, past_due_since, canceled_at, cancel_reason, created_at, version
"""

INVOICE = """
    i.id, i.subscription_id, i.customer_id, i.plan_id, i.period_start, i.period_end, i.amount_minor,
    i.currency, i.state, i.opened_at, i.paid_at, i.closed_at, i.failures, i.automatic, i.disputed,
    i.needs_operator
"""


def customer(row: Any) -> Customer:
    """The columns of CUSTOMER."""
    return Customer(**row)


def plan(row: Any) -> Plan:
    """A row of `plans`."""
    return Plan(
        id=row["id"],
        name=row["name"],
        price_minor=row["price_minor"],
        price=format_money(Money(amount_minor=row["price_minor"], currency=row["currency"])),
        currency=row["currency"],
        interval=row["interval"],
        limits=Limits(api_calls=row["limit_api_calls"], storage_bytes=row["limit_storage_bytes"]),
        trial_days=row["trial_days"],
        active=row["active"],
        created_at=row["created_at"],
    )


def subscription(row: Any) -> Subscription:
    """The columns of SUBSCRIPTION."""
    return Subscription(**row)


def entry(row: Any) -> SubscriptionEntry:
    """A row of `subscription_events`, its data as text."""
    fields = dict(row)
    return SubscriptionEntry(data=msgspec.Raw(fields.pop("data").encode()), **fields)


def invoice(row: Any, attempts: tuple[PaymentAttempt, ...]) -> Invoice:
    """The columns of INVOICE."""
    money = Money(amount_minor=row["amount_minor"], currency=row["currency"])
    return Invoice(amount=format_money(money), attempts=attempts, **row)
