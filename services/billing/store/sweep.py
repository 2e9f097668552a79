"""What the sweep takes."""

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

    async def take_due(self, now: datetime, again_at: datetime, limit: int) -> list[UUID]:
        """Customers with a subscription that has something to do: at most `limit` subscriptions,
        the longest due first, which are due again at `again_at` unless a run says otherwise.

        Those that somebody else has locked are looked at already, or next time.
        """
        rows = await self._connection.fetch(
            """
            WITH due AS (
                SELECT id FROM subscriptions WHERE next_look_at <= $1
                ORDER BY next_look_at, customer_id LIMIT $3 FOR UPDATE SKIP LOCKED
            ), taken AS (
                -- By an array, since a join is planned as if everybody might be due.
                UPDATE subscriptions SET next_look_at = $2
                WHERE id = ANY (ARRAY(SELECT id FROM due))
                RETURNING customer_id
            )
            SELECT DISTINCT customer_id FROM taken ORDER BY customer_id
            """,
            now,
            again_at,
            limit,
        )
        return [row["customer_id"] for row in rows]
