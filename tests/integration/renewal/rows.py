"""The rows of one saga, written as they are where it stands, and read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from msgspec.structs import replace

from services.billing.models import (
    Invoice,
    InvoiceState,
    Money,
    PaymentAttempt,
    SubscriptionStatus,
)
from services.billing.saga.state import Saga, SagaEvent
from services.billing.store.saga import SagaStore
from services.billing.transitions import Applied, attempt_key, happen, lock_case
from shared.messages.events import Event
from shared.workflow.ports import Connection
from tests.saga_walk import Place

PRICE = Money(amount_minor=999, currency="EUR")
TABLES = (
    "subscriptions",
    "subscription_events",
    "invoices",
    "payment_attempts",
    "ledger_entries",
    "notices",
)


class Marks(NamedTuple):
    """What an event left beside the saga."""

    transactions: int
    unbalanced: int
    history: int
    periods: int


class Rows:
    """One customer's subscription with the invoice and the last attempt of a period."""

    def __init__(self, connection: Connection, place: Place):
        self._connection = connection
        self._place = place
        self._customer_id, self._subscription_id = uuid4(), uuid4()

    async def write(self) -> None:
        """Writes all that the saga is made of."""
        saga, now = self._place.saga, self._place.now
        canceled = saga.status is SubscriptionStatus.CANCELED
        await self._connection.execute(
            """
            INSERT INTO customers (id, tz, currency, payment_method, created_at)
            VALUES ($1, 'UTC', 'EUR', 'pm_card_visa', $2)
            """,
            self._customer_id,
            saga.created_at,
        )
        await self._connection.execute(
            """
            INSERT INTO plans (id, name, price_minor, currency, interval, created_at)
            VALUES ('pro', 'Pro', 999, 'EUR', 'month', $1) ON CONFLICT DO NOTHING
            """,
            saga.created_at,
        )
        await self._connection.execute(
            """
            INSERT INTO subscriptions (id, customer_id, plan_id, status, anchor_local, periods,
                current_period_start, current_period_end, past_due_since, canceled_at, created_at)
            VALUES ($1, $2, 'pro', $3, $4, 0, $5, $5, $6, $7, $8)
            """,
            self._subscription_id,
            self._customer_id,
            saga.status,
            saga.period_start.replace(tzinfo=None),
            saga.period_start,
            saga.past_due_since,
            now if canceled else None,
            saga.created_at,
        )
        if stored(saga).invoice is not InvoiceState.DRAFT:
            await self._write_invoice(saga)

    async def _write_invoice(self, saga: Saga) -> None:
        store = SagaStore(self._connection, self._subscription_id)
        invoice = Invoice(
            id=uuid4(),
            plan_id="pro",
            period_start=saga.period_start,
            period_end=saga.period_start + timedelta(days=31),
            money=PRICE,
            state=InvoiceState.PAID if saga.extended else InvoiceState.OPEN,
            failures=saga.failures,
            automatic=saga.automatic,
            last_automatic_at=saga.last_automatic_at,
            requested_by=saga.requested_by,
            disputed=saga.disputed,
            needs_operator=saga.needs_operator,
        )
        now = self._place.now
        await store.add_invoice(invoice, self._customer_id, now)
        # A period that was given was paid once.
        await store.save_invoice(invoice, now)
        await store.save_invoice(replace(invoice, state=saga.invoice), now)
        if (attempt := saga.attempt) is not None:
            row = PaymentAttempt(
                number=attempt.number,
                provider="sandbox",
                key=attempt_key(self._subscription_id, saga.period_start, attempt.number),
                initiator=attempt.initiator,
                payment_method="pm_card_visa",
                money=PRICE,
                state=attempt.state,
                sent_at=attempt.sent_at,
                sends=attempt.sends,
                since=attempt.since,
                looks=attempt.looks,
                not_found=attempt.not_found,
                refund_state=attempt.refund,
                refund_reason=attempt.refund_reason,
                created_at=attempt.sent_at,
            )
            await store.save_attempt(invoice.id, row)

    async def happen(self, event: SagaEvent) -> Applied:
        """Has the event happen, as the renewal does."""
        told: list[Event] = []
        return await happen(
            self._connection,
            self._subscription_id,
            event,
            now=self._place.now,
            actor="test",
            publish=told.append,
            period_start=self._place.saga.period_start,
            provider="sandbox",
        )

    async def read(self) -> Saga:
        """The saga that the rows are."""
        case = await lock_case(
            self._connection, self._subscription_id, self._place.saga.period_start
        )
        return case.saga

    async def dump(self) -> list[Any]:
        """All that is in the tables."""
        return [
            await self._connection.fetchval(
                f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {table} AS t"
            )
            for table in TABLES
        ]

    async def marks(self) -> Marks:
        """What was written beside the saga since `write`."""
        row = await self._connection.fetchrow(
            """
            SELECT
                (SELECT count(DISTINCT transaction_key) FROM ledger_entries) AS transactions,
                (SELECT count(*) FROM (SELECT 1 FROM ledger_entries GROUP BY transaction_key
                 HAVING sum(amount_minor) <> 0 OR count(*) <> 2) AS u) AS unbalanced,
                (SELECT count(*) FROM subscription_events) AS history,
                (SELECT periods FROM subscriptions WHERE id = $1) AS periods
            """,
            self._subscription_id,
        )
        return Marks(**dict(row))


def stored(saga: Saga) -> Saga:
    """The saga as rows can tell it: a draft has none, and a void one was a draft."""
    if saga.invoice is InvoiceState.VOID:
        return replace(saga, invoice=InvoiceState.DRAFT)
    return saga


@asynccontextmanager
async def undone(connection: Connection) -> AsyncGenerator[None]:
    """Undoes what is written inside; in an open transaction."""
    await connection.execute("SAVEPOINT undone")
    try:
        yield
    finally:
        await connection.execute("ROLLBACK TO SAVEPOINT undone")
        await connection.execute("RELEASE SAVEPOINT undone")
