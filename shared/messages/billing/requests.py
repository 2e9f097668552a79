"""Requests on `commands.billing.<name>` and `queries.billing.<name>`."""

from __future__ import annotations

from uuid import UUID

from msgspec import UNSET, UnsetType

from shared.messages.base import Message
from shared.messages.billing.values import (
    Currency,
    Decimal,
    Interval,
    Payer,
    PaymentMethod,
    PlanId,
    ProviderName,
    Quantity,
    Resolution,
    TrialDays,
)
from shared.messages.values import Email, Limit, Name, SourceId, ZoneName


class CreateCustomer(Message, frozen=True, kw_only=True):
    """`create_customer`: answers Customer; the same `id` or `externalId` again is refused."""

    id: UUID | None = None
    external_id: SourceId | None = None
    email: Email | None = None
    timezone: ZoneName = "UTC"
    """Periods end by the clocks of this zone."""
    currency: Currency
    """Of all that the customer is ever billed."""
    payment_method: PaymentMethod | None = None


class UpdateCustomer(Message, frozen=True, kw_only=True):
    """`update_customer`, and the fact `customer_changed`: changes what is given; answers
    Customer."""

    customer_id: UUID
    email: Email | UnsetType | None = UNSET
    timezone: ZoneName | UnsetType = UNSET


class SetPaymentMethod(Message, frozen=True, kw_only=True):
    """`set_payment_method`, and the fact `payment_method_changed`: what is open and was declined
    is charged to it at once; answers Customer. The same one again changes nothing."""

    customer_id: UUID
    payment_method: PaymentMethod


class Limits(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Use that a plan holds in one period; null is unlimited, and so nothing may be misspelled."""

    api_calls: Quantity | None = None
    storage_bytes: Quantity | None = None


class CreatePlan(Message, frozen=True, kw_only=True):
    """`create_plan`: answers Plan. The price is given as `priceMinor` or as `price`, and never
    changes."""

    id: PlanId
    name: Name
    price_minor: int | None = None
    """In the currency's minor unit: 999 for EUR 9.99."""
    price: Decimal | None = None
    """The same as text in the currency's own unit: "9.99"."""
    currency: Currency
    interval: Interval
    limits: Limits = Limits()
    trial_days: TrialDays = 0


class UpdatePlan(Message, frozen=True, kw_only=True):
    """`update_plan`: changes what is given, limits as a whole; answers Plan."""

    plan_id: PlanId
    name: Name | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    """Nobody can subscribe to an inactive plan; who has it keeps it."""


class CreateSubscription(Message, frozen=True, kw_only=True):
    """`create_subscription`: on trial, or incomplete until the first payment; answers
    Subscription."""

    id: UUID | None = None
    customer_id: UUID
    plan_id: PlanId
    trial_days: TrialDays | None = None
    """As the plan says where it is left out; 0 is no trial."""


class ChangePlan(Message, frozen=True, kw_only=True):
    """`change_plan`: limits at once, the price from the next invoice; answers Subscription."""

    subscription_id: UUID
    plan_id: PlanId


class CancelSubscription(Message, frozen=True, kw_only=True):
    """`cancel_subscription`: answers Subscription; again changes nothing."""

    subscription_id: UUID
    at_period_end: bool = False


class PayInvoice(Message, frozen=True, kw_only=True):
    """`pay_invoice`: has an open invoice charged at once; answers Accepted, with the id of the
    payment_retry that does it."""

    invoice_id: UUID
    by: Payer = "customer"
    """Who asks: kept with the attempt."""


class ResolveDispute(Message, frozen=True, kw_only=True):
    """`resolve_dispute`: what becomes of an invoice after a chargeback; answers Invoice."""

    invoice_id: UUID
    resolution: Resolution
    """`won`: the bank returned the money. `lost`: it is gone. `charge`: ask for it once more."""


class ProviderWebhook(Message, frozen=True, kw_only=True):
    """`provider_webhook`: a payment provider's message as it came; answers WebhookTaken."""

    provider: ProviderName
    body: bytes
    """In base64."""
    headers: dict[str, str]


class ByCustomer(Message, frozen=True, kw_only=True):
    """`customer`, `subscriptions`, `customer_usage`, `balances`: answers Customer, Subscriptions,
    CustomerUsage, Balances."""

    customer_id: UUID


class PageOfCustomer(Message, frozen=True, kw_only=True):
    """`invoices`: newest first; answers Invoices."""

    customer_id: UUID
    limit: Limit = 20
    cursor: UUID | None = None
    """`nextCursor` of the page before."""


class ByPlan(Message, frozen=True, kw_only=True):
    """`delete_plan`, `plan`: answers Plan. A plan that anybody ever had is not deleted."""

    plan_id: PlanId


class AllPlans(Message, frozen=True, kw_only=True):
    """`plans`: answers Plans."""

    include_inactive: bool = False


class BySubscription(Message, frozen=True, kw_only=True):
    """`uncancel_subscription`, `subscription`, `subscription_events`: answers Subscription, and
    SubscriptionHistory."""

    subscription_id: UUID


class ByInvoice(Message, frozen=True, kw_only=True):
    """`refund_invoice`, `invoice`: answers Invoice. A refund gives the whole amount back."""

    invoice_id: UUID
