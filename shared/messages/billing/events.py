"""Facts that the billing service publishes, on `events.billing.<name>`.

Amounts and intervals go along, so that revenue, churn and recovery need no look into the tables.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shared.messages.billing.values import Interval, Resolution
from shared.messages.events import Event


class CustomerCreated(Event, frozen=True, kw_only=True):
    """Somebody can be billed from now on."""

    name = "customer_created"

    customer_id: UUID
    currency: str
    timezone: str


class PaymentMethodChanged(Event, frozen=True, kw_only=True):
    """A customer pays by another method from now on."""

    name = "payment_method_changed"

    customer_id: UUID


class PlanEdited(Event, frozen=True, kw_only=True):
    """A plan was made, is another, or was deleted."""

    name = "plan_edited"

    plan_id: str


class OfSubscription(Event, frozen=True, kw_only=True):
    """What all facts about a subscription tell of it: what it costs in each interval."""

    subscription_id: UUID
    customer_id: UUID
    plan_id: str
    amount_minor: int
    currency: str
    interval: Interval


class SubscriptionStarted(OfSubscription, frozen=True, kw_only=True):
    """A subscription exists: trialing, or incomplete until its first payment."""

    name = "subscription_started"

    status: str
    trial_end: datetime | None


class SubscriptionChanged(OfSubscription, frozen=True, kw_only=True):
    """Its status is another: activated, past due or canceled."""

    name = "subscription_changed"

    previous_status: str
    status: str
    reason: str | None = None
    """Of a cancellation: requested, period_end, non_payment or incomplete."""


class PlanChanged(OfSubscription, frozen=True, kw_only=True):
    """It costs and holds what another plan says; `amountMinor` is the new price."""

    name = "plan_changed"

    status: str
    previous_plan_id: str
    previous_amount_minor: int
    previous_interval: Interval


class CancellationScheduled(OfSubscription, frozen=True, kw_only=True):
    """It ends with the current period, unless that is withdrawn."""

    name = "cancellation_scheduled"

    ends_at: datetime


class CancellationWithdrawn(OfSubscription, frozen=True, kw_only=True):
    """It goes on after the current period."""

    name = "cancellation_withdrawn"


class OfInvoice(Event, frozen=True, kw_only=True):
    """What all facts about an invoice tell of it."""

    invoice_id: UUID
    subscription_id: UUID
    customer_id: UUID
    plan_id: str
    period_start: datetime
    period_end: datetime
    amount_minor: int
    currency: str


class InvoiceOpened(OfInvoice, frozen=True, kw_only=True):
    """A period is to be paid."""

    name = "invoice_opened"


class InvoicePaid(OfInvoice, frozen=True, kw_only=True):
    """A period is paid; with `failures` above zero the money was recovered."""

    name = "invoice_paid"

    failures: int
    initiator: str
    """Who asked for the attempt that succeeded: cycle, dunning, customer or admin."""


class InvoiceWrittenOff(OfInvoice, frozen=True, kw_only=True):
    """Nobody waits for its money any longer."""

    name = "invoice_written_off"


class OfPayment(OfInvoice, frozen=True, kw_only=True):
    """What all facts about a payment attempt tell of it."""

    number: int
    """Counts the attempts of the invoice from 1."""
    initiator: str
    provider: str


class PaymentSucceeded(OfPayment, frozen=True, kw_only=True):
    """The money has moved."""

    name = "payment_succeeded"


class PaymentFailed(OfPayment, frozen=True, kw_only=True):
    """An attempt was declined."""

    name = "payment_failed"

    decline_code: str | None
    decline_class: str
    failures: int
    """Declined attempts of the invoice that no person asked for."""


class PaymentUnresolved(OfPayment, frozen=True, kw_only=True):
    """For a week nobody could say what became of an attempt: a person must."""

    name = "payment_unresolved"


class RefundIssued(OfPayment, frozen=True, kw_only=True):
    """The money went back to the customer."""

    name = "refund_issued"

    reason: str
    """surplus, for it paid for nothing; or requested."""


class ChargebackReceived(OfPayment, frozen=True, kw_only=True):
    """The customer's bank took the money back."""

    name = "chargeback_received"


class DisputeResolved(OfInvoice, frozen=True, kw_only=True):
    """An operator decided what becomes of it after a chargeback."""

    name = "dispute_resolved"

    resolution: Resolution
