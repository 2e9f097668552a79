"""Finds what a request or fact is about, or refuses it."""

from __future__ import annotations

from uuid import UUID

from services.billing.models import Terms
from services.billing.store import (
    CustomerStore,
    InvoiceStore,
    PlanStore,
    SagaStore,
    SubscriptionStore,
)
from services.billing.store.persons import PersonStore
from shared.messages.billing import Customer, Invoice, Plan, Subscription
from shared.messages.problems import Refused
from shared.runtime.handling import Work
from shared.runtime.persons import check_present
from shared.workflow.zones import known_zones


async def customer_of(work: Work, customer_id: UUID) -> Customer:
    """The customer. Raises Refused `customer_not_found`."""
    customer = await CustomerStore(work.connection).find(customer_id)
    if customer is None:
        raise no_customer(customer_id)
    return customer


async def present_customer(work: Work, customer_id: UUID, *, alone: bool = False) -> Customer:
    """The customer, for whom something new may be begun; `alone` for who changes the customer.

    Who locks subscriptions too, did so before. Raises Refused `customer_not_found`, `person_held`
    or `person_erased`."""
    row = await PersonStore(work.connection, customer_id).find(alone=alone)
    if row is not None:
        erased = row["erased_at"] is not None
        check_present(row["held_by"], erased=erased, field="customerId")
    return await customer_of(work, customer_id)


def no_customer(customer_id: UUID) -> Refused:
    """Why nothing can be done for a customer that there is not."""
    return Refused(
        "customer_not_found",
        f"there is no customer {customer_id}: create it first",
        status=404,
        field="customerId",
    )


async def plan_of(work: Work, plan_id: str) -> Plan:
    """The plan. Raises Refused `plan_not_found`."""
    plan = await PlanStore(work.connection).find(plan_id)
    if plan is None:
        raise no_plan(plan_id)
    return plan


def no_plan(plan_id: str) -> Refused:
    """Why nothing can be done with a plan that there is not."""
    return Refused(
        "plan_not_found",
        f"there is no plan {plan_id!r}: create it first",
        status=404,
        field="planId",
    )


async def subscription_of(work: Work, subscription_id: UUID) -> Subscription:
    """The subscription. Raises Refused `subscription_not_found`."""
    subscription = await SubscriptionStore(work.connection).find(subscription_id)
    if subscription is None:
        raise no_subscription(subscription_id)
    return subscription


async def locked_terms(work: Work, subscription_id: UUID) -> Terms:
    """The subscription, alone until the transaction ends. Raises Refused
    `subscription_not_found`."""
    terms = await SagaStore(work.connection, subscription_id).terms()
    if terms is None:
        raise no_subscription(subscription_id)
    return terms


def no_subscription(subscription_id: UUID) -> Refused:
    """Why nothing can be done with a subscription that there is not."""
    return Refused(
        "subscription_not_found",
        f"there is no subscription {subscription_id}",
        status=404,
        field="subscriptionId",
    )


async def invoice_of(work: Work, invoice_id: UUID) -> Invoice:
    """The invoice. Raises Refused `invoice_not_found`."""
    invoice = await InvoiceStore(work.connection).find(invoice_id)
    if invoice is None:
        raise Refused(
            "invoice_not_found",
            f"there is no invoice {invoice_id}",
            status=404,
            field="invoiceId",
        )
    return invoice


def check_zone(timezone: str) -> None:
    """Raises Refused `unknown_timezone`."""
    if timezone not in known_zones():
        raise Refused(
            "unknown_timezone",
            f"{timezone!r} is no time zone: use an IANA name such as Europe/Berlin",
            field="timezone",
        )
