"""The port to what a provider is told of a customer: personal data, which no journal may hold."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from services.billing.models import ProviderCustomer


class CustomerDirectory(Protocol):
    """Read at the moment of telling the provider, outside any transaction of a workflow."""

    async def customer(self, customer_id: UUID) -> ProviderCustomer:
        """The customer as they are now. Raises LookupError for nobody."""
        ...
