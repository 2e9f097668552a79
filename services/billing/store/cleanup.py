"""What a subscription's cleanup reads and writes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from shared.workflow.ports import Connection


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A canceled subscription; its row is locked."""

    customer_id: UUID
    has_others: bool
    """Whether the customer has a subscription that goes on, or one that was canceled later and
    whose own cleanup comes."""


class CleanupStore:
    """Deletes what need not be kept; invoices, attempts, ledger and history stay."""

    def __init__(self, connection: Connection, subscription_id: UUID):
        self._connection = connection
        self._subscription_id = subscription_id

    async def lock(self, canceled_at: datetime) -> Ended | None:
        """The subscription; None where it was not canceled at that instant, or is cleaned up."""
        # All of the customer's, and in a statement before the look: of two cleanups at once each
        # would leave the rest to the other.
        await self._connection.execute(
            """
            SELECT FROM subscriptions
            WHERE customer_id = (SELECT customer_id FROM subscriptions WHERE id = $1)
            ORDER BY id FOR UPDATE
            """,
            self._subscription_id,
        )
        row = await self._connection.fetchrow(
            """
            SELECT s.customer_id, EXISTS (
                SELECT FROM subscriptions AS o
                WHERE o.customer_id = s.customer_id AND o.id <> s.id AND o.cleaned_at IS NULL
            ) AS has_others
            FROM subscriptions AS s
            WHERE s.id = $1 AND s.status = 'canceled' AND s.canceled_at = $2
              AND s.cleaned_at IS NULL
            """,
            self._subscription_id,
            canceled_at,
        )
        return None if row is None else Ended(**row)

    async def mark(self, at: datetime) -> None:
        """Notes that the subscription is cleaned up."""
        await self._connection.execute(
            "UPDATE subscriptions SET cleaned_at = $2 WHERE id = $1", self._subscription_id, at
        )

    async def delete_usage(self, customer_id: UUID) -> int:
        """Deletes all use of a customer; how many rows."""
        deleted: int = await self._connection.fetchval(
            """
            WITH events AS (DELETE FROM usage_events WHERE customer_id = $1 RETURNING 1),
                 gauges AS (DELETE FROM usage_gauges WHERE customer_id = $1 RETURNING 1),
                 days AS (DELETE FROM usage_days WHERE customer_id = $1 RETURNING 1)
            SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM gauges)
                 + (SELECT count(*) FROM days)
            """,
            customer_id,
        )
        return deleted

    async def delete_notices(self, customer_id: UUID) -> int:
        """Deletes what a customer was told; how many rows."""
        deleted: int = await self._connection.fetchval(
            """
            WITH deleted AS (DELETE FROM notices WHERE recipient = $1::uuid::text RETURNING 1)
            SELECT count(*) FROM deleted
            """,
            customer_id,
        )
        return deleted

    async def anonymise(self, customer_id: UUID, at: datetime) -> None:
        """Forgets who the customer is; the id stays, for the books."""
        await self._connection.execute(
            """
            UPDATE customers SET
                email = NULL, external_id = NULL, payment_method = NULL, anonymised_at = $2
            WHERE id = $1
            """,
            customer_id,
            at,
        )
