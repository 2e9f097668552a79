"""Facts from a studio's other systems, on `ingest.billing.<name>`.

`customer_changed` is UpdateCustomer and `payment_method_changed` SetPaymentMethod.
"""

from __future__ import annotations

from uuid import UUID

from shared.messages.base import Message
from shared.messages.billing.values import Metric, Quantity
from shared.messages.values import Instant, SourceId


class UsageReported(Message, frozen=True, kw_only=True):
    """`usage`: a customer used something; counts once per `eventId`. Answers CustomerUsage."""

    event_id: SourceId
    customer_id: UUID
    metric: Metric
    quantity: Quantity
    """Of `api_calls` how many more, of `storage_bytes` how many there are now."""
    at: Instant | None = None
    """When it happened; the service's own instant where it is left out."""
