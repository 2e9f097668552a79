"""Players as accounts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import UNSET

from services.player.store import rows
from shared.messages.player import CreatePlayer, Player, UpdatePlayer
from shared.workflow.ports import Connection


class AccountStore:
    """Creates, changes and finds players."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def create(
        self, player_id: UUID, request: CreatePlayer, level: int, at: datetime
    ) -> Player | None:
        """A player with progress and statistics; None when the id or the external id is taken."""
        row = await self._connection.fetchrow(
            """
            WITH created AS (
                INSERT INTO players (uuid, external_id, email, tz, created_at)
                VALUES ($1, $2, $3, $4, $6)
                ON CONFLICT DO NOTHING
                RETURNING *
            ), progress AS (
                INSERT INTO player_progress (player_uuid, level) SELECT uuid, $5 FROM created
            ), stats AS (
                INSERT INTO player_stats (player_uuid) SELECT uuid FROM created
            )
            SELECT * FROM created
            """,
            player_id,
            request.external_id,
            request.email,
            request.timezone,
            level,
            at,
        )
        return None if row is None else rows.player(row)

    async def update(self, request: UpdatePlayer) -> Player | None:
        """Changes what is given; None when there is no such player."""
        row = await self._connection.fetchrow(
            """
            UPDATE players SET
                email = CASE WHEN $2 THEN $3 ELSE email END,
                tz = coalesce($4, tz),
                is_active = coalesce($5, is_active)
            WHERE uuid = $1 RETURNING *
            """,
            request.player_id,
            request.email is not UNSET,
            None if request.email is UNSET else request.email,
            None if request.timezone is UNSET else request.timezone,
            None if request.is_active is UNSET else request.is_active,
        )
        return None if row is None else rows.player(row)

    async def find(self, player_id: UUID) -> Player | None:
        """The player of that id."""
        row = await self._connection.fetchrow("SELECT * FROM players WHERE uuid = $1", player_id)
        return None if row is None else rows.player(row)
