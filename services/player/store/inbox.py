"""A player's inbox."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.messages.player import Notification
from shared.workflow.ports import Connection


class InboxStore:
    """Notifications, as the player reads them."""

    def __init__(self, connection: Connection, player_id: UUID):
        self._connection = connection
        self._player_id = player_id

    async def notifications(self, limit: int, cursor: int | None) -> list[Notification]:
        """A page, newest first, with ids below `cursor`."""
        found = await self._connection.fetch(
            """
            SELECT id, type, data::text AS data, created_at, acknowledged_at FROM notifications
            WHERE player_uuid = $1 AND ($3::bigint IS NULL OR id < $3)
            ORDER BY id DESC LIMIT $2
            """,
            self._player_id,
            limit,
            cursor,
        )
        return [_notification(row) for row in found]

    async def acknowledge(self, notification_id: int, at: datetime) -> Notification | None:
        """Marks one as seen, once; None when the player has none of that id."""
        row = await self._connection.fetchrow(
            """
            UPDATE notifications SET acknowledged_at = coalesce(acknowledged_at, $3)
            WHERE player_uuid = $1 AND id = $2
            RETURNING id, type, data::text AS data, created_at, acknowledged_at
            """,
            self._player_id,
            notification_id,
            at,
        )
        return None if row is None else _notification(row)


def _notification(row: Any) -> Notification:
    fields = dict(row)
    return Notification(data=msgspec.Raw(fields.pop("data")), **fields)
