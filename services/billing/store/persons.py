"""A customer as a person: what there is about them, what stands in the way of erasing them, and
what of it can go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.postgres.persons import NOTICES, Section
from shared.workflow.ports import Connection

OF_CUSTOMER = "customer_id = $1"

SECTIONS: Sequence[Section] = (
    Section("customers", "id", "uuid", "id = $1"),
    Section("subscriptions", "id", "uuid", OF_CUSTOMER),
    Section(
        "subscription_events",
        "id",
        "bigint",
        "subscription_id IN (SELECT id FROM subscriptions WHERE customer_id = $1)",
    ),
    Section("invoices", "id", "uuid", OF_CUSTOMER),
    Section(
        "payment_attempts",
        "id",
        "bigint",
        "invoice_id IN (SELECT id FROM invoices WHERE customer_id = $1)",
    ),
    Section("ledger_entries", "id", "bigint", OF_CUSTOMER),
    Section("usage_events", "event_id", "text", OF_CUSTOMER),
    Section("usage_gauges", "metric", "text", OF_CUSTOMER),
    Section("usage_days", "(metric || ' ' || day)", "text", OF_CUSTOMER),
    NOTICES,
)


class PersonStore:
    """One customer, in the transaction of `connection`."""

    def __init__(self, connection: Connection, customer_id: UUID):
        self._connection = connection
        self._customer_id = customer_id

    async def find(self, *, alone: bool = False) -> Any:
        """`held_by`, `erased_at`, `email`, `provider_reference`; None for nobody.

        Nobody holds or erases the customer before the transaction ends; `alone`, nobody begins
        anything for them either. Locks subscriptions first who locks both.
        """
        return await self._connection.fetchrow(
            f"""
            SELECT held_by, erased_at, email, provider_reference FROM customers
            WHERE id = $1 FOR {"NO KEY UPDATE" if alone else "SHARE"}
            """,  # noqa: S608 - constants of this method
            self._customer_id,
        )

    async def under_way(self) -> Sequence[Any]:
        """`code` and `detail` of all for which the customer is still needed."""
        return await self._connection.fetch(
            """
            SELECT 'subscription_active' AS code,
                   'subscription ' || id || ' is ' || status || ': cancel it first' AS detail
            FROM subscriptions WHERE customer_id = $1 AND status <> 'canceled'
            UNION ALL
            SELECT 'payment_under_way', 'a payment of invoice ' || i.id || ' is ' || a.state
                   || ': wait until it has ended'
            FROM invoices AS i JOIN payment_attempts AS a ON a.invoice_id = i.id
            WHERE i.customer_id = $1
              AND a.state IN ('submitted', 'pending', 'unknown', 'not_sent')
            UNION ALL
            SELECT 'refund_under_way', 'money of invoice ' || i.id || ' is going back: wait until '
                   || 'it has'
            FROM invoices AS i JOIN payment_attempts AS a ON a.invoice_id = i.id
            WHERE i.customer_id = $1 AND a.refund_state = 'due'
            UNION ALL
            SELECT 'dispute_open', 'invoice ' || id || ' is disputed: resolve it first'
            FROM invoices WHERE customer_id = $1 AND disputed
            ORDER BY 1 DESC, 2
            """,
            self._customer_id,
        )

    async def hold(self, erasure: str) -> None:
        """Lets nothing new begin."""
        await self._connection.execute(
            "UPDATE customers SET held_by = $2 WHERE id = $1", self._customer_id, erasure
        )

    async def release(self, erasure: str) -> None:
        """Ends this erasure's hold; of who is erased nothing changes."""
        await self._connection.execute(
            """
            UPDATE customers SET held_by = NULL
            WHERE id = $1 AND held_by = $2 AND erased_at IS NULL
            """,
            self._customer_id,
            erasure,
        )

    async def anonymise(self, at: datetime) -> None:
        """Forgets who the customer is, and by what they paid; the books and the id stay."""
        await self._connection.execute(
            """
            WITH attempts AS (
                UPDATE payment_attempts AS a SET payment_method = '', action_url = NULL
                FROM invoices AS i
                WHERE i.id = a.invoice_id AND i.customer_id = $1
                RETURNING a.provider, a.provider_key
            ), events AS (
                UPDATE provider_events AS e SET body = jsonb_set(
                    e.body, '{payment,payment_method}', 'null', false)
                FROM attempts AS a
                WHERE e.provider = a.provider AND e.payment_key = a.provider_key
                  AND jsonb_typeof(e.body -> 'payment') = 'object'
            )
            UPDATE customers SET
                email = NULL, external_id = NULL, payment_method = NULL, tz = 'UTC',
                provider_reference = NULL, synced_version = version, held_by = NULL,
                anonymised_at = coalesce(anonymised_at, $2), erased_at = coalesce(erased_at, $2)
            WHERE id = $1
            """,
            self._customer_id,
            at,
        )
