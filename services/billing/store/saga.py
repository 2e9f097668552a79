"""The rows of one subscription's saga: read under their locks, written in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.billing.models import (
    Invoice,
    Money,
    PaymentAttempt,
    SubscriptionStatus,
    Terms,
)
from services.billing.rules.ledger import Entry
from shared.workflow.ports import Connection

_INVOICE = """
    i.id, i.plan_id, i.period_start, i.period_end, i.amount_minor, i.currency, i.state, i.paid_at,
    i.failures, i.automatic, i.last_automatic_at, i.requested_by, i.disputed, i.needs_operator,
    i.reopened
"""


class SagaStore:
    """Whoever decides by what it reads calls `terms` first: its lock is what serialises everything
    that happens to one subscription."""

    def __init__(self, connection: Connection, subscription_id: UUID):
        self._connection = connection
        self._subscription_id = subscription_id

    async def terms(self) -> Terms | None:
        """The subscription, alone until the transaction ends; None when there is no such one."""
        row = await self._connection.fetchrow(
            """
            SELECT s.id, s.customer_id, s.plan_id, s.status, s.version, s.anchor_local, s.periods,
                   s.current_period_end, s.cancel_at_period_end, s.past_due_since, s.created_at,
                   p.price_minor AS amount_minor, p.currency, p.interval, c.tz AS timezone,
                   c.payment_method,
                   -- None has the provider told first, before it is asked to charge.
                   CASE WHEN c.synced_version >= c.version THEN c.provider_reference END
                       AS customer_reference
            FROM subscriptions AS s
            JOIN plans AS p ON p.id = s.plan_id
            JOIN customers AS c ON c.id = s.customer_id
            WHERE s.id = $1 FOR UPDATE OF s
            """,
            self._subscription_id,
        )
        return None if row is None else _struct(row, Terms, price=_money(row))

    async def invoice(self, period_start: datetime) -> Invoice | None:
        """The invoice of a period, locked."""
        row = await self._connection.fetchrow(
            f"""
            SELECT {_INVOICE} FROM invoices AS i
            WHERE i.subscription_id = $1 AND i.period_start = $2 FOR UPDATE
            """,  # noqa: S608 - a constant of this file
            self._subscription_id,
            period_start,
        )
        return None if row is None else _struct(row, Invoice, money=_money(row))

    async def open_invoice(self) -> Invoice | None:
        """The invoice of the period that is not paid yet, locked."""
        row = await self._connection.fetchrow(
            f"""
            SELECT {_INVOICE} FROM invoices AS i
            WHERE i.subscription_id = $1 AND i.state = 'open' AND i.paid_at IS NULL FOR UPDATE
            """,  # noqa: S608
            self._subscription_id,
        )
        return None if row is None else _struct(row, Invoice, money=_money(row))

    async def last_attempt(self, invoice_id: UUID) -> PaymentAttempt | None:
        """The invoice's last attempt; only that one can be unfinished."""
        row = await self._connection.fetchrow(
            """
            SELECT number, provider, provider_key AS key, provider_reference AS reference,
                   initiator, payment_method, amount_minor, currency, state, decline_code,
                   decline_class, action_url, sent_at, sends, since, looks, not_found,
                   refund_state, refund_reason, created_at, finished_at
            FROM payment_attempts WHERE invoice_id = $1 ORDER BY number DESC LIMIT 1
            """,
            invoice_id,
        )
        return None if row is None else _struct(row, PaymentAttempt, money=_money(row))

    async def add_invoice(self, invoice: Invoice, customer_id: UUID, at: datetime) -> None:
        """Writes the invoice of a period that has none; its key refuses a second one."""
        await self._connection.execute(
            """
            INSERT INTO invoices (id, subscription_id, customer_id, plan_id, period_start,
                                  period_end, amount_minor, currency, state, opened_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            """,
            invoice.id,
            self._subscription_id,
            customer_id,
            invoice.plan_id,
            invoice.period_start,
            invoice.period_end,
            invoice.money.amount_minor,
            invoice.money.currency,
            invoice.state,
            at,
        )

    async def save_invoice(self, invoice: Invoice, at: datetime) -> None:
        """Writes what the saga made of the invoice."""
        await self._connection.execute(
            """
            UPDATE invoices SET
                state = $2, failures = $3, automatic = $4, last_automatic_at = $5,
                requested_by = $6, disputed = $7, needs_operator = $8, reopened = $9,
                paid_at = CASE WHEN $2 = 'paid' THEN coalesce(paid_at, $10) ELSE paid_at END,
                closed_at = CASE WHEN $2 = 'open' THEN NULL ELSE coalesce(closed_at, $10) END
            WHERE id = $1
            """,
            invoice.id,
            invoice.state,
            invoice.failures,
            invoice.automatic,
            invoice.last_automatic_at,
            invoice.requested_by,
            invoice.disputed,
            invoice.needs_operator,
            invoice.reopened,
            at,
        )

    async def save_attempt(self, invoice_id: UUID, attempt: PaymentAttempt) -> None:
        """Writes an attempt, new or as it has become; an index refuses a second unfinished one."""
        await self._connection.execute(
            """
            INSERT INTO payment_attempts AS a
                (invoice_id, number, provider, provider_key, provider_reference, initiator,
                 payment_method, amount_minor, currency, state, decline_code, decline_class,
                 action_url, sent_at, sends, since, looks, not_found, refund_state, refund_reason,
                 created_at, finished_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    $18, $19, $20, $21, $22)
            ON CONFLICT (invoice_id, number) DO UPDATE SET
                provider = excluded.provider, provider_reference = excluded.provider_reference,
                state = excluded.state, payment_method = excluded.payment_method,
                decline_code = excluded.decline_code, decline_class = excluded.decline_class,
                action_url = excluded.action_url, sent_at = excluded.sent_at,
                sends = excluded.sends, since = excluded.since, looks = excluded.looks,
                not_found = excluded.not_found, refund_state = excluded.refund_state,
                refund_reason = excluded.refund_reason, finished_at = excluded.finished_at
            """,
            invoice_id,
            attempt.number,
            attempt.provider,
            attempt.key,
            attempt.reference,
            attempt.initiator,
            attempt.payment_method,
            attempt.money.amount_minor,
            attempt.money.currency,
            attempt.state,
            attempt.decline_code,
            attempt.decline_class,
            attempt.action_url,
            attempt.sent_at,
            attempt.sends,
            attempt.since,
            attempt.looks,
            attempt.not_found,
            attempt.refund_state,
            attempt.refund_reason,
            attempt.created_at,
            attempt.finished_at,
        )

    async def extend(self, invoice: Invoice) -> None:
        """Gives the invoice's period. The subscription must be locked."""
        await self._connection.execute(
            """
            UPDATE subscriptions SET
                current_period_start = $2, current_period_end = $3, periods = periods + 1,
                version = version + 1
            WHERE id = $1
            """,
            self._subscription_id,
            invoice.period_start,
            invoice.period_end,
        )

    async def change_status(
        self,
        terms: Terms,
        status: SubscriptionStatus,
        name: str,
        *,
        past_due_since: datetime | None,
        reason: str | None,
        actor: str,
        at: datetime,
    ) -> bool:
        """Moves the status from what `terms` has to `status`, with a row of its history; False
        where the subscription stands otherwise by now."""
        changed = await self._connection.fetchval(
            """
            WITH changed AS (
                UPDATE subscriptions SET
                    status = $4, past_due_since = $5, version = version + 1,
                    next_look_at = $9::timestamptz,
                    canceled_at = CASE WHEN $4 = 'canceled' THEN $9::timestamptz END,
                    cancel_reason = CASE WHEN $4 = 'canceled' THEN $7 END
                WHERE id = $1 AND status = $2 AND version = $3
                RETURNING id, version
            )
            INSERT INTO subscription_events
                (subscription_id, version, name, previous_status, status, actor, data, created_at)
            SELECT id, version, $6, $2, $4, $8,
                   CASE WHEN $7::text IS NULL THEN '{}'::jsonb
                        ELSE jsonb_build_object('reason', $7::text) END, $9
            FROM changed RETURNING true
            """,
            self._subscription_id,
            terms.status,
            terms.version,
            status,
            past_due_since,
            name,
            reason,
            actor,
            at,
        )
        return changed is not None

    async def look_soon(self, at: datetime) -> None:
        """Has the customer's run look at the subscription from `at` on."""
        await self._connection.execute(
            """
            UPDATE subscriptions SET next_look_at = least(coalesce(next_look_at, $2), $2)
            WHERE id = $1 AND status <> 'canceled'
            """,
            self._subscription_id,
            at,
        )

    async def book(
        self,
        transaction_key: str,
        entries: Iterable[Entry],
        customer_id: UUID,
        invoice_id: UUID,
        at: datetime,
    ) -> None:
        """Writes a transaction of the ledger; the same key again changes nothing."""
        accounts, amounts, currencies = zip(*entries, strict=True)
        await self._connection.execute(
            """
            INSERT INTO ledger_entries (transaction_key, account, amount_minor, currency,
                                        customer_id, invoice_id, created_at)
            SELECT $1, e.account, e.amount_minor, e.currency, $5, $6, $7
            FROM unnest($2::text[], $3::bigint[], $4::text[])
                AS e (account, amount_minor, currency)
            ON CONFLICT (transaction_key, account) DO NOTHING
            """,
            transaction_key,
            accounts,
            amounts,
            currencies,
            customer_id,
            invoice_id,
            at,
        )


def _money(row: Any) -> Money:
    return Money(amount_minor=row["amount_minor"], currency=row["currency"])


def _struct(row: Any, kind: type[Any], **more: Any) -> Any:
    """The row as a value, by the names of its columns."""
    fields = {**dict(row), **more}
    return msgspec.convert(fields, kind)
