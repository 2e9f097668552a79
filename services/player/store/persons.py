"""A player as a person: what there is about them, and what of it can go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.postgres.persons import NOTICES, Section
from shared.workflow.ports import Connection

OF_PLAYER = "player_uuid = $1"

SECTIONS: Sequence[Section] = (
    Section("players", "uuid", "uuid", "uuid = $1"),
    Section("player_progress", "player_uuid", "uuid", OF_PLAYER),
    Section("player_stats", "player_uuid", "uuid", OF_PLAYER),
    Section("player_grants", "id", "bigint", OF_PLAYER),
    Section("daily_rewards", "reward_day", "date", OF_PLAYER),
    Section("player_achievements", "achievement_id", "text", OF_PLAYER),
    Section("player_unlocks", "feature", "text", OF_PLAYER),
    Section("player_items", "item", "text", OF_PLAYER),
    Section("game_sessions", "number", "bigint", OF_PLAYER),
    Section("messages", "id", "uuid", OF_PLAYER),
    Section("event_logs", "id", "bigint", OF_PLAYER),
    Section("notifications", "id", "bigint", OF_PLAYER),
    NOTICES,
)


class PersonStore:
    """One player, in the transaction of `connection`."""

    def __init__(self, connection: Connection, player_id: UUID):
        self._connection = connection
        self._player_id = player_id

    async def lock(self) -> Any:
        """`held_by`, `erased_at` and `email`, alone until the transaction ends; None for nobody."""
        return await self._connection.fetchrow(
            """
            SELECT g.held_by, g.erased_at, p.email
            FROM player_progress AS g JOIN players AS p ON p.uuid = g.player_uuid
            WHERE g.player_uuid = $1 FOR UPDATE OF g
            """,
            self._player_id,
        )

    async def hold(self, erasure: str) -> None:
        """Lets nothing new begin."""
        await self._connection.execute(
            "UPDATE player_progress SET held_by = $2 WHERE player_uuid = $1",
            self._player_id,
            erasure,
        )

    async def release(self, erasure: str) -> None:
        """Ends this erasure's hold; of who is erased nothing changes."""
        await self._connection.execute(
            """
            UPDATE player_progress SET held_by = NULL
            WHERE player_uuid = $1 AND held_by = $2 AND erased_at IS NULL
            """,
            self._player_id,
            erasure,
        )

    async def delete(self) -> None:
        """Deletes what the player said and did, and was told; the ledger and its sums stay."""
        await self._connection.execute(
            """
            WITH messages AS (DELETE FROM messages WHERE player_uuid = $1),
                 sessions AS (DELETE FROM game_sessions WHERE player_uuid = $1),
                 event_logs AS (DELETE FROM event_logs WHERE player_uuid = $1)
            DELETE FROM notifications WHERE player_uuid = $1
            """,
            self._player_id,
        )

    async def anonymise(self, at: datetime) -> None:
        """Forgets who the player is, with what others wrote about them in words; the id stays."""
        await self._connection.execute(
            """
            WITH words AS (
                UPDATE player_grants SET reason = source_kind
                WHERE player_uuid = $1 AND reason <> source_kind
            ), progress AS (
                UPDATE player_progress SET erased_at = coalesce(erased_at, $2), held_by = NULL
                WHERE player_uuid = $1
            )
            UPDATE players SET
                email = NULL, external_id = NULL, tz = 'UTC', last_login = NULL, is_active = false
            WHERE uuid = $1
            """,
            self._player_id,
            at,
        )
