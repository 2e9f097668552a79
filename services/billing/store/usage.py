"""What customers used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.billing.models import Metric, SubscriptionStatus
from shared.messages.billing import MetricUsage
from shared.workflow.ports import Connection


class UsageStore:
    """What one customer used."""

    def __init__(self, connection: Connection, customer_id: UUID):
        self._connection = connection
        self._customer_id = customer_id

    async def add(
        self, event_id: str, metric: Metric, quantity: int, at: datetime, received_at: datetime
    ) -> bool:
        """Counts an event; False for one that was counted before."""
        added = await self._connection.fetchval(
            """
            INSERT INTO usage_events (event_id, customer_id, metric, quantity, at, received_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (event_id) DO NOTHING
            RETURNING true
            """,
            event_id,
            self._customer_id,
            metric,
            quantity,
            at,
            received_at,
        )
        return added is not None

    async def is_own(self, event_id: str) -> bool:
        """Whether the event is this customer's."""
        own: bool = await self._connection.fetchval(
            "SELECT customer_id = $2 FROM usage_events WHERE event_id = $1",
            event_id,
            self._customer_id,
        )
        return own

    async def set_gauge(self, metric: Metric, value: int, at: datetime) -> None:
        """Keeps the value, unless a later one is known."""
        await self._connection.execute(
            """
            INSERT INTO usage_gauges AS g (customer_id, metric, value, at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (customer_id, metric) DO UPDATE SET value = excluded.value, at = excluded.at
            WHERE g.at <= excluded.at
            """,
            self._customer_id,
            metric,
            value,
            at,
        )

    async def usage(
        self, statuses: Sequence[SubscriptionStatus], now: datetime
    ) -> list[MetricUsage]:
        """Use under each subscription in these statuses, in the period that it is in."""
        found = await self._connection.fetch(
            """
            SELECT s.id AS subscription_id, s.plan_id, used.*, period.*
            FROM subscriptions AS s
            JOIN plans AS p ON p.id = s.plan_id
            CROSS JOIN LATERAL (
                -- Once a period is over, use is that of the next one, paid for or not.
                SELECT CASE WHEN s.current_period_end <= $3 THEN s.current_period_end
                            ELSE s.current_period_start END AS period_start,
                       CASE WHEN s.current_period_end > $3 THEN s.current_period_end END
                           AS period_end
            ) AS period
            CROSS JOIN LATERAL (
                SELECT 'api_calls' AS metric, coalesce(sum(e.quantity), 0)::bigint AS used,
                       p.limit_api_calls AS limit
                FROM usage_events AS e
                WHERE e.customer_id = s.customer_id AND e.metric = 'api_calls'
                  AND e.at >= period.period_start
                  AND (period.period_end IS NULL OR e.at < period.period_end)
                UNION ALL
                SELECT 'storage_bytes', coalesce(max(g.value), 0)::bigint, p.limit_storage_bytes
                FROM usage_gauges AS g
                WHERE g.customer_id = s.customer_id AND g.metric = 'storage_bytes'
            ) AS used
            WHERE s.customer_id = $1 AND s.status = ANY ($2::text[])
            ORDER BY s.created_at, s.id, used.metric
            """,
            self._customer_id,
            list(statuses),
            now,
        )
        return [MetricUsage(**row) for row in found]
