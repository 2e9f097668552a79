"""What the sweep takes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shared.workflow.ports import Connection


class SweepStore:
    """Over all customers."""

    def __init__(self, connection: Connection):
        self._connection = connection

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
                UPDATE subscriptions AS s SET next_look_at = $2 FROM due WHERE s.id = due.id
                RETURNING s.customer_id
            )
            SELECT DISTINCT customer_id FROM taken ORDER BY customer_id
            """,
            now,
            again_at,
            limit,
        )
        return [row["customer_id"] for row in rows]
