"""What a provider is told of a customer, read outside the workflows' transactions."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from services.billing.models import ProviderCustomer


class PostgresDirectory:
    """See CustomerDirectory."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def customer(self, customer_id: UUID) -> ProviderCustomer:
        """See CustomerDirectory."""
        row = await self._pool.fetchrow(
            """
            SELECT id AS customer_id, email, tz AS timezone, payment_method,
                   provider_reference AS reference, erased_at IS NOT NULL AS is_erased
            FROM customers WHERE id = $1
            """,
            customer_id,
        )
        if row is None:
            raise LookupError(f"there is no customer {customer_id}")
        return ProviderCustomer(**dict(row))
