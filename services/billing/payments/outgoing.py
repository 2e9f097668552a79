"""The statements on what the sandbox has to tell."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.workflow.ports import Connection


class Webhook(msgspec.Struct, frozen=True):
    """A row of `sandbox_webhooks` that is to be delivered."""

    id: int
    body: bytes
    due_at: datetime


class Outgoing:
    """Webhooks that wait, inside one transaction."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def add(self, event_id: str, payment_key: str, body: bytes, due_at: datetime) -> None:
        """Has an event told at `due_at`."""
        await self._connection.execute(
            """
            INSERT INTO sandbox_webhooks (event_id, payment_key, body, due_at)
            VALUES ($1, $2, $3, $4)
            """,
            event_id,
            payment_key,
            body,
            due_at,
        )

    async def take(
        self, now: datetime, after: Webhook | None, payment_key: str | None
    ) -> Webhook | None:
        """Locks the next one that is due behind `after` and that nobody else is delivering; of one
        payment or of all."""
        row = await self._connection.fetchrow(
            """
            SELECT id, body, due_at FROM sandbox_webhooks
            WHERE delivered_at IS NULL AND due_at <= $1 AND ($4::text IS NULL OR payment_key = $4)
              AND ($2::timestamptz IS NULL OR (due_at, id) > ($2, $3))
            ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
            """,
            now,
            None if after is None else after.due_at,
            None if after is None else after.id,
            payment_key,
        )
        return None if row is None else Webhook(row["id"], row["body"], row["due_at"])

    async def mark(self, webhook: Webhook, delivered_at: datetime | None) -> None:
        """Counts an attempt; with an instant, the last one."""
        await self._connection.execute(
            "UPDATE sandbox_webhooks SET attempts = attempts + 1, delivered_at = $2 WHERE id = $1",
            webhook.id,
            delivered_at,
        )

    async def next_due(self) -> datetime | None:
        """When the next payment ends or the next webhook is due."""
        found: datetime | None = await self._connection.fetchval(
            """
            SELECT least(
                (SELECT min(settles_at) FROM sandbox_payments WHERE state = 'pending'),
                (SELECT min(due_at) FROM sandbox_webhooks WHERE delivered_at IS NULL))
            """
        )
        return found
