"""Answers questions about customers, what they subscribe to, owe and use."""

from __future__ import annotations

from services.billing.handlers.finding import (
    customer_of,
    invoice_of,
    plan_of,
    subscription_of,
)
from services.billing.rules.usage import WATCHED
from services.billing.store import (
    CustomerStore,
    InvoiceStore,
    PlanStore,
    SubscriptionStore,
    UsageStore,
)
from shared.messages.billing import (
    AllPlans,
    Balances,
    ByCustomer,
    ByInvoice,
    ByPlan,
    BySubscription,
    Customer,
    CustomerUsage,
    Invoice,
    Invoices,
    PageOfCustomer,
    Plan,
    Plans,
    Subscription,
    SubscriptionHistory,
    Subscriptions,
)
from shared.runtime.handling import AnyHandler, Handler, Work


async def customer(work: Work, request: ByCustomer) -> Customer:
    """Who is billed."""
    return await customer_of(work, request.customer_id)


async def subscriptions(work: Work, request: ByCustomer) -> Subscriptions:
    """What the customer has, and had."""
    await customer_of(work, request.customer_id)
    found = await SubscriptionStore(work.connection).of_customer(request.customer_id)
    return Subscriptions(subscriptions=tuple(found))


async def invoices(work: Work, request: PageOfCustomer) -> Invoices:
    """What the customer owes, and paid."""
    await customer_of(work, request.customer_id)
    found = await InvoiceStore(work.connection).page(
        request.customer_id, request.limit + 1, request.cursor
    )
    kept = found[: request.limit]
    return Invoices(
        invoices=tuple(kept), next_cursor=kept[-1].id if len(found) > len(kept) else None
    )


async def customer_usage(work: Work, request: ByCustomer) -> CustomerUsage:
    """What the customer used in the present period."""
    await customer_of(work, request.customer_id)
    usage = await UsageStore(work.connection, request.customer_id).usage(sorted(WATCHED), work.now)
    return CustomerUsage(customer_id=request.customer_id, usage=tuple(usage))


async def balances(work: Work, request: ByCustomer) -> Balances:
    """The customer's part of the ledger."""
    await customer_of(work, request.customer_id)
    found = await CustomerStore(work.connection).balances(request.customer_id)
    return Balances(customer_id=request.customer_id, balances=tuple(found))


async def plan(work: Work, request: ByPlan) -> Plan:
    """One plan."""
    return await plan_of(work, request.plan_id)


async def plans(work: Work, request: AllPlans) -> Plans:
    """What can be subscribed to."""
    found = await PlanStore(work.connection).plans(request.include_inactive)
    return Plans(plans=tuple(found))


async def subscription(work: Work, request: BySubscription) -> Subscription:
    """One subscription."""
    return await subscription_of(work, request.subscription_id)


async def subscription_events(work: Work, request: BySubscription) -> SubscriptionHistory:
    """What became of a subscription."""
    await subscription_of(work, request.subscription_id)
    entries = await SubscriptionStore(work.connection).history(request.subscription_id)
    return SubscriptionHistory(entries=tuple(entries))


async def invoice(work: Work, request: ByInvoice) -> Invoice:
    """One invoice with its attempts."""
    return await invoice_of(work, request.invoice_id)


QUERIES: tuple[AnyHandler, ...] = (
    Handler("customer", ByCustomer, customer),
    Handler("subscriptions", ByCustomer, subscriptions),
    Handler("invoices", PageOfCustomer, invoices),
    Handler("customer_usage", ByCustomer, customer_usage),
    Handler("balances", ByCustomer, balances),
    Handler("plan", ByPlan, plan),
    Handler("plans", AllPlans, plans),
    Handler("subscription", BySubscription, subscription),
    Handler("subscription_events", BySubscription, subscription_events),
    Handler("invoice", ByInvoice, invoice),
)
