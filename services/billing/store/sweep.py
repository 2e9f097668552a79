"""What the sweep reads."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shared.workflow.ports import Connection


class SweepStore:
    """Over all customers."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def earliest_look_at(self) -> datetime | None:
        """When the first customer has something due."""
        at: datetime | None = await self._connection.fetchval(
            "SELECT min(next_look_at) FROM subscriptions WHERE next_look_at IS NOT NULL"
        )
        return at

    async def due_customers(self, now: datetime, after: UUID | None, limit: int) -> list[UUID]:
        """Customers with a subscription that has something to do, by id, after `after`."""
        rows = await self._connection.fetch(
            """
            SELECT DISTINCT customer_id FROM subscriptions
            WHERE next_look_at <= $1 AND ($2::uuid IS NULL OR customer_id > $2)
            ORDER BY customer_id LIMIT $3
            """,
            now,
            after,
            limit,
        )
        return [row["customer_id"] for row in rows]
