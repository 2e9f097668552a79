"""The provider and the directory that workflows are made with before they are there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from services.billing.models import Charge, Payment, ProviderCustomer, ProviderEvent, Refund
from services.billing.payments.customers import CustomerDirectory
from services.billing.payments.provider import PaymentProvider, ProviderUnreachable


class Late:
    """A PaymentProvider and a CustomerDirectory: what it is given by the time it is asked."""

    def __init__(self, name: str):
        self.name = name
        self._provider: PaymentProvider | None = None
        self._directory: CustomerDirectory | None = None

    def give(self, provider: PaymentProvider, directory: CustomerDirectory) -> None:
        """What it stands for."""
        self._provider, self._directory = provider, directory

    @property
    def _given(self) -> PaymentProvider:
        if self._provider is None:
            raise ProviderUnreachable("the service has not begun")
        return self._provider

    async def save_customer(self, customer: ProviderCustomer) -> str:
        """See PaymentProvider."""
        return await self._given.save_customer(customer)

    async def forget_customer(self, customer_id: UUID, reference: str | None) -> None:
        """See PaymentProvider."""
        await self._given.forget_customer(customer_id, reference)

    async def charge(self, charge: Charge) -> Payment:
        """See PaymentProvider."""
        return await self._given.charge(charge)

    async def find(self, key: str) -> Payment | None:
        """See PaymentProvider."""
        return await self._given.find(key)

    async def refund(self, refund: Refund) -> Payment:
        """See PaymentProvider."""
        return await self._given.refund(refund)

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderEvent:
        """See PaymentProvider."""
        return self._given.verify(body, headers, now)

    async def customer(self, customer_id: UUID) -> ProviderCustomer:
        """See CustomerDirectory."""
        if self._directory is None:
            raise ProviderUnreachable("the service has not begun")
        return await self._directory.customer(customer_id)
