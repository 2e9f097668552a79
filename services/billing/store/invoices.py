"""Invoices with their attempts, as they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.billing.store import rows
from services.billing.store.rows import INVOICE
from shared.messages.billing import Invoice, PaymentAttempt
from shared.workflow.ports import Connection


class InvoiceStore:
    """Finds invoices; the saga alone writes them."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def find(self, invoice_id: UUID) -> Invoice | None:
        """The invoice of that id."""
        row = await self._connection.fetchrow(
            f"SELECT {INVOICE} FROM invoices AS i WHERE i.id = $1",  # noqa: S608 - a constant
            invoice_id,
        )
        found = await self._with_attempts([] if row is None else [row])
        return found[0] if found else None

    async def page(self, customer_id: UUID, limit: int, cursor: UUID | None) -> list[Invoice]:
        """A customer's invoices, newest first, after the one that `cursor` names."""
        found = await self._connection.fetch(
            f"""
            SELECT {INVOICE} FROM invoices AS i
            WHERE i.customer_id = $1 AND ($3::uuid IS NULL OR (i.opened_at, i.id) <
                (SELECT opened_at, id FROM invoices WHERE id = $3))
            ORDER BY i.opened_at DESC, i.id DESC LIMIT $2
            """,  # noqa: S608
            customer_id,
            limit,
            cursor,
        )
        return await self._with_attempts(found)

    async def _with_attempts(self, found: Iterable[Any]) -> list[Invoice]:
        attempts: dict[UUID, list[PaymentAttempt]] = {row["id"]: [] for row in found}
        for row in await self._attempts(list(attempts)):
            fields = dict(row)
            attempts[fields.pop("invoice_id")].append(PaymentAttempt(**fields))
        return [rows.invoice(row, tuple(attempts[row["id"]])) for row in found]

    async def _attempts(self, invoice_ids: list[UUID]) -> list[Any]:
        return await self._connection.fetch(
            """
            SELECT invoice_id, number, initiator, provider, provider_key AS key,
                   provider_reference AS reference, state, decline_code, decline_class, action_url,
                   refund_state AS refund, sent_at, finished_at
            FROM payment_attempts WHERE invoice_id = ANY ($1) ORDER BY invoice_id, number
            """,
            invoice_ids,
        )
