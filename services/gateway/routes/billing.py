"""`/api/customers`, `/api/plans`, `/api/subscriptions`, `/api/invoices`, `/api/usage`."""

from __future__ import annotations

from functools import partial

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.billing import (
    SERVICE,
    AllPlans,
    ByCustomer,
    ByInvoice,
    ByPlan,
    BySubscription,
    CancelSubscription,
    ChangePlan,
    CreateCustomer,
    CreatePlan,
    CreateSubscription,
    PageOfCustomer,
    PayInvoice,
    ResolveDispute,
    SetPaymentMethod,
    UpdateCustomer,
    UpdatePlan,
    UsageReported,
)
from shared.messages.invariants import AllInvariants

command = partial(subjects.command, SERVICE)
query = partial(subjects.query, SERVICE)

CUSTOMER = "/api/customers/{customerId}"
PLAN = "/api/plans/{planId}"
SUBSCRIPTION = "/api/subscriptions/{subscriptionId}"
INVOICE = "/api/invoices/{invoiceId}"

TABLE = (
    Forward("POST", "/api/customers", command("create_customer"), CreateCustomer, 201),
    Forward("GET", CUSTOMER, query("customer"), ByCustomer),
    Forward("PATCH", CUSTOMER, command("update_customer"), UpdateCustomer),
    Forward("PUT", f"{CUSTOMER}/payment-method", command("set_payment_method"), SetPaymentMethod),
    Forward("GET", f"{CUSTOMER}/subscriptions", query("subscriptions"), ByCustomer),
    Forward("GET", f"{CUSTOMER}/invoices", query("invoices"), PageOfCustomer),
    Forward("GET", f"{CUSTOMER}/usage", query("customer_usage"), ByCustomer),
    Forward("GET", f"{CUSTOMER}/balances", query("balances"), ByCustomer),
    Forward("GET", "/api/plans", query("plans"), AllPlans, cache="plans"),
    Forward("POST", "/api/plans", command("create_plan"), CreatePlan, 201, cache="plans"),
    Forward("GET", PLAN, query("plan"), ByPlan, cache="plans"),
    Forward("PATCH", PLAN, command("update_plan"), UpdatePlan, cache="plans"),
    Forward("DELETE", PLAN, command("delete_plan"), ByPlan, cache="plans"),
    Forward("POST", "/api/subscriptions", command("create_subscription"), CreateSubscription, 201),
    Forward("GET", SUBSCRIPTION, query("subscription"), BySubscription),
    Forward("GET", f"{SUBSCRIPTION}/events", query("subscription_events"), BySubscription),
    Forward("PUT", f"{SUBSCRIPTION}/plan", command("change_plan"), ChangePlan),
    Forward("POST", f"{SUBSCRIPTION}/cancel", command("cancel_subscription"), CancelSubscription),
    Forward("POST", f"{SUBSCRIPTION}/uncancel", command("uncancel_subscription"), BySubscription),
    Forward("GET", INVOICE, query("invoice"), ByInvoice),
    Forward("POST", f"{INVOICE}/pay", command("pay_invoice"), PayInvoice, 202),
    Forward("POST", f"{INVOICE}/refund", command("refund_invoice"), ByInvoice, 202),
    Forward("POST", f"{INVOICE}/resolve", command("resolve_dispute"), ResolveDispute),
    Forward("POST", "/api/usage", command("usage"), UsageReported, 201, "eventId"),
    Forward("GET", "/api/billing/invariants", query("invariants"), AllInvariants),
)
