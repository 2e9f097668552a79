"""What a customer's run reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.billing.models import Initiator, Metric, Money, SubscriptionStatus
from shared.workflow.ports import Connection


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as the customer's run sees it; its row is locked."""

    id: UUID
    status: SubscriptionStatus
    current_period_start: datetime
    current_period_end: datetime
    cancel_at_period_end: bool
    past_due_since: datetime | None
    canceled_at: datetime | None
    cleaned_at: datetime | None
    invoice_id: UUID | None
    """Of the open invoice, as what follows."""
    invoice_period_start: datetime | None
    owed: Money | None
    requested_by: Initiator | None
    attempts: int


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """Use of one metric under one subscription in the period that it is in."""

    metric: Metric
    used: int
    limit: int | None
    period_start: datetime


class CustomerRunStore:
    """Everything of one customer, in the transaction of `connection`."""

    def __init__(self, connection: Connection, customer_id: UUID):
        self._connection = connection
        self._customer_id = customer_id

    async def exists(self) -> bool:
        """Whether there is such a customer."""
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT FROM customers WHERE id = $1)", self._customer_id
        )
        return found

    async def lock_subscriptions(self) -> list[Watched]:
        """All of them in the order of their ids, which is the order of the locks."""
        rows = await self._connection.fetch(
            """
            SELECT s.id, s.status, s.current_period_start, s.current_period_end,
                   s.cancel_at_period_end, s.past_due_since, s.canceled_at, s.cleaned_at,
                   i.id AS invoice_id, i.period_start AS invoice_period_start, i.requested_by,
                   (SELECT count(*) FROM payment_attempts WHERE invoice_id = i.id) AS attempts,
                   CASE WHEN i.id IS NOT NULL THEN jsonb_build_object(
                       'amount_minor', i.amount_minor, 'currency', i.currency)::text END AS owed
            FROM subscriptions AS s
            LEFT JOIN invoices AS i
                ON i.subscription_id = s.id AND i.state = 'open' AND i.paid_at IS NULL
            WHERE s.customer_id = $1 ORDER BY s.id FOR UPDATE OF s
            """,
            self._customer_id,
        )
        return [
            _struct({**row, "owed": row["owed"] and msgspec.json.decode(row["owed"])}, Watched)
            for row in rows
        ]

    async def told(self, names: Sequence[str], keys: Sequence[str]) -> list[str]:
        """Those of the keys under which a notice of one of these names was posted."""
        rows = await self._connection.fetch(
            "SELECT key FROM notices WHERE name = ANY ($1::text[]) AND key = ANY ($2::text[])",
            list(names),
            list(keys),
        )
        return [row["key"] for row in rows]

    async def usage(self, subscription_id: UUID, now: datetime) -> list[Used]:
        """Use under a subscription, by metric. Past the period's end it is the next one's."""
        rows = await self._connection.fetch(
            """
            WITH period AS (
                SELECT s.customer_id, p.limit_api_calls, p.limit_storage_bytes,
                       CASE WHEN s.current_period_end <= $2 THEN s.current_period_end
                            ELSE s.current_period_start END AS period_start
                FROM subscriptions AS s JOIN plans AS p ON p.id = s.plan_id WHERE s.id = $1
            )
            SELECT 'api_calls' AS metric, period.period_start, period.limit_api_calls AS limit,
                   (SELECT coalesce(sum(e.quantity), 0)::bigint FROM usage_events AS e
                    WHERE e.customer_id = period.customer_id AND e.metric = 'api_calls'
                      AND e.at >= period.period_start AND e.at <= $2) AS used
            FROM period
            UNION ALL
            SELECT 'storage_bytes', period.period_start, period.limit_storage_bytes,
                   coalesce((SELECT g.value FROM usage_gauges AS g
                             WHERE g.customer_id = period.customer_id
                               AND g.metric = 'storage_bytes'), 0)
            FROM period
            """,
            subscription_id,
            now,
        )
        return [_struct(row, Used) for row in rows]

    async def close_days(self, today: date, since: datetime, now: datetime) -> int:
        """Rolls up the days before `today` that have use received since they were closed, from
        `since` on; how many. A day that is closed again has the same value, or a better one, and
        one closed within an hour of its use is: the use may have come while it was closed."""
        closed: int = await self._connection.fetchval(
            """
            WITH changed AS (
                SELECT DISTINCT e.metric, (e.at AT TIME ZONE 'UTC')::date AS day
                FROM usage_events AS e
                WHERE e.customer_id = $1 AND e.at >= $3
                  AND (e.at AT TIME ZONE 'UTC')::date < $2
                  AND NOT EXISTS (
                      SELECT FROM usage_days AS d
                      WHERE d.customer_id = $1 AND d.metric = e.metric
                        AND d.day = (e.at AT TIME ZONE 'UTC')::date
                        AND d.closed_at > e.received_at + interval '1 hour')
            ), closed AS (
                INSERT INTO usage_days AS d (customer_id, metric, day, value, closed_at)
                SELECT $1, c.metric, c.day,
                       CASE c.metric WHEN 'api_calls' THEN sum(e.quantity)::bigint
                            ELSE (array_agg(e.quantity ORDER BY e.at DESC, e.received_at DESC,
                                           e.event_id DESC))[1] END, $4
                FROM changed AS c
                JOIN usage_events AS e
                    ON e.customer_id = $1 AND e.metric = c.metric
                    AND e.at >= (c.day::timestamp AT TIME ZONE 'UTC')
                    AND e.at < ((c.day + 1)::timestamp AT TIME ZONE 'UTC')
                GROUP BY c.metric, c.day
                ON CONFLICT (customer_id, metric, day) DO UPDATE SET
                    value = excluded.value, closed_at = excluded.closed_at
                RETURNING 1
            )
            SELECT count(*) FROM closed
            """,
            self._customer_id,
            today,
            since,
            now,
        )
        return closed

    async def first_open_day(self, today: date) -> date | None:
        """The first day from `today` on that has use."""
        day: date | None = await self._connection.fetchval(
            """
            SELECT min((at AT TIME ZONE 'UTC')::date) FROM usage_events
            WHERE customer_id = $1 AND metric = ANY ('{api_calls,storage_bytes}')
              AND at >= ($2::date::timestamp AT TIME ZONE 'UTC')
            """,
            self._customer_id,
            today,
        )
        return day

    async def look_at(self, subscription_id: UUID, at: datetime | None) -> None:
        """When the subscription has something to do next; None: never."""
        await self._connection.execute(
            "UPDATE subscriptions SET next_look_at = $2 WHERE id = $1", subscription_id, at
        )

    async def unsynced_version(self) -> int | None:
        """The version of the customer's data that the provider was not told; None: it knows."""
        version: int | None = await self._connection.fetchval(
            """
            SELECT version FROM customers
            WHERE id = $1 AND synced_version < version AND anonymised_at IS NULL
              AND held_by IS NULL
            """,
            self._customer_id,
        )
        return version

    async def note_synced(self, version: int, reference: str) -> None:
        """The provider knows this version, and by this reference."""
        await self._connection.execute(
            """
            UPDATE customers SET synced_version = greatest(synced_version, $2),
                                 provider_reference = $3
            WHERE id = $1 AND erased_at IS NULL
            """,
            self._customer_id,
            version,
            reference,
        )


def _struct(row: Any, kind: type[Any]) -> Any:
    return msgspec.convert(dict(row), kind)
