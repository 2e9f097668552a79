"""Every SQL statement of the billing service, one method each."""

from __future__ import annotations

from services.billing.store.customers import CustomerStore
from services.billing.store.invariants import INVARIANTS
from services.billing.store.invoices import InvoiceStore
from services.billing.store.plans import PlanStore
from services.billing.store.provider_events import ProviderEventStore
from services.billing.store.saga import SagaStore
from services.billing.store.subscriptions import SubscriptionStore
from services.billing.store.usage import UsageStore

__all__ = [
    "INVARIANTS",
    "CustomerStore",
    "InvoiceStore",
    "PlanStore",
    "ProviderEventStore",
    "SagaStore",
    "SubscriptionStore",
    "UsageStore",
]
