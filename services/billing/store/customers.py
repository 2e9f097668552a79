"""Customers as accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from services.billing.store import rows
from services.billing.store.rows import CUSTOMER
from shared.messages.billing import Balance, CreateCustomer, Customer, UpdateCustomer
from shared.workflow.ports import Connection


class CustomerStore:
    """Creates, changes and finds customers."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def create(
        self, customer_id: UUID, request: CreateCustomer, at: datetime
    ) -> Customer | None:
        """A new customer; None when the id or the external id is taken."""
        row = await self._connection.fetchrow(
            f"""
            INSERT INTO customers (id, external_id, email, tz, currency, payment_method, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT DO NOTHING
            RETURNING {CUSTOMER}
            """,  # noqa: S608 - a constant of the code
            customer_id,
            request.external_id,
            request.email,
            request.timezone,
            request.currency,
            request.payment_method,
            at,
        )
        return None if row is None else rows.customer(row)

    async def update(self, request: UpdateCustomer) -> Customer | None:
        """Changes what is given, and counts it as a change if it is one; None when there is no
        such customer."""
        row = await self._connection.fetchrow(
            f"""
            WITH wanted AS (
                SELECT id, CASE WHEN $2 THEN $3 ELSE email END AS email, coalesce($4, tz) AS tz
                FROM customers WHERE id = $1 FOR NO KEY UPDATE
            ), changed AS (
                UPDATE customers AS c SET
                    email = w.email, tz = w.tz,
                    version = version + CASE WHEN (c.email, c.tz) IS DISTINCT FROM (w.email, w.tz)
                                             THEN 1 ELSE 0 END
                FROM wanted AS w WHERE c.id = w.id
                RETURNING c.*
            )
            SELECT {CUSTOMER} FROM changed
            """,  # noqa: S608
            request.customer_id,
            request.email is not UNSET,
            None if request.email is UNSET else request.email,
            None if request.timezone is UNSET else request.timezone,
        )
        return None if row is None else rows.customer(row)

    async def set_payment_method(self, customer_id: UUID, payment_method: str) -> Customer | None:
        """Changes it; None when it is that already, or when there is no such customer."""
        row = await self._connection.fetchrow(
            f"""
            UPDATE customers SET payment_method = $2, version = version + 1
            WHERE id = $1 AND payment_method IS DISTINCT FROM $2
            RETURNING {CUSTOMER}
            """,  # noqa: S608
            customer_id,
            payment_method,
        )
        return None if row is None else rows.customer(row)

    async def find(self, customer_id: UUID) -> Customer | None:
        """The customer of that id."""
        row = await self._connection.fetchrow(
            f"SELECT {CUSTOMER} FROM customers WHERE id = $1",  # noqa: S608
            customer_id,
        )
        return None if row is None else rows.customer(row)

    async def balances(self, customer_id: UUID) -> list[Balance]:
        """The customer's part of each account in the ledger."""
        found = await self._connection.fetch(
            """
            SELECT account, currency, sum(amount_minor)::bigint AS amount_minor
            FROM ledger_entries WHERE customer_id = $1
            GROUP BY account, currency ORDER BY account, currency
            """,
            customer_id,
        )
        return [Balance(**row) for row in found]
