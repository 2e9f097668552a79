"""What the queries about one player read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from services.player.rules import levels
from services.player.store import rows
from shared.messages.player import (
    Inventory,
    Item,
    Progress,
    Session,
    UnlockedAchievement,
    XpEntry,
)
from shared.workflow.ports import Connection


class ReadingStore:
    """Reads of one player; pages come newest first, with ids below `cursor`."""

    def __init__(self, connection: Connection, player_id: UUID):
        self._connection = connection
        self._player_id = player_id

    async def progress(self) -> Progress | None:
        """Balances and statistics; None when there is no such player."""
        row = await self._connection.fetchrow(
            """
            SELECT * FROM player_progress JOIN player_stats USING (player_uuid)
            WHERE player_uuid = $1
            """,
            self._player_id,
        )
        return None if row is None else _progress(row)

    async def inventory(self) -> Inventory:
        """Items, features and achievements, in one consistent read."""
        row = await self._connection.fetchrow(
            """
            SELECT
                (SELECT coalesce(json_agg(json_build_object('item', item, 'quantity', quantity)
                                          ORDER BY item), '[]')
                 FROM player_items WHERE player_uuid = $1) AS items,
                (SELECT coalesce(json_agg(feature ORDER BY level, feature), '[]')
                 FROM player_unlocks WHERE player_uuid = $1) AS features,
                (SELECT coalesce(json_agg(json_build_object(
                    'id', a.id, 'name', a.name, 'unlockedAt', p.unlocked_at)
                    ORDER BY p.unlocked_at, a.id), '[]')
                 FROM player_achievements AS p JOIN achievements AS a ON a.id = p.achievement_id
                 WHERE p.player_uuid = $1) AS achievements
            """,
            self._player_id,
        )
        return Inventory(
            items=msgspec.json.decode(row["items"], type=tuple[Item, ...]),
            features=msgspec.json.decode(row["features"], type=tuple[str, ...]),
            achievements=msgspec.json.decode(
                row["achievements"], type=tuple[UnlockedAchievement, ...]
            ),
        )

    async def xp_history(self, limit: int, cursor: int | None) -> list[XpEntry]:
        """Rows of the ledger that moved xp."""
        found = await self._connection.fetch(
            """
            SELECT id, xp AS amount, reason, created_at AS at, coins, skill_points
            FROM player_grants
            WHERE player_uuid = $1 AND xp <> 0 AND ($3::bigint IS NULL OR id < $3)
            ORDER BY id DESC LIMIT $2
            """,
            self._player_id,
            limit,
            cursor,
        )
        return [XpEntry(**row) for row in found]

    async def sessions(self, limit: int, cursor: int | None) -> list[tuple[int, Session]]:
        """Sessions with their numbers, which count the first reports of sessions."""
        found = await self._connection.fetch(
            """
            SELECT * FROM game_sessions
            WHERE player_uuid = $1 AND ($3::bigint IS NULL OR number < $3)
            ORDER BY number DESC LIMIT $2
            """,
            self._player_id,
            limit,
            cursor,
        )
        return [(row["number"], rows.session(row)) for row in found]


def _progress(row: Any) -> Progress:
    xp, level = row["xp"], row["level"]
    sessions, answered = row["sessions_completed"], row["answered"]
    return Progress(
        player_id=row["player_uuid"],
        xp=xp,
        level=level,
        coins=row["coins"],
        skill_points=row["skill_points"],
        streak_current=row["streak_current"],
        streak_best=row["streak_best"],
        streak_freezes=row["streak_freezes"],
        xp_to_next_level=levels.xp_to_next(xp, level),
        percent_to_next_level=levels.percent_to_next(xp, level),
        sessions_completed=sessions,
        answered=answered,
        correct=row["correct"],
        accuracy_percent=row["correct"] * 100 // answered if answered else 0,
        best_streak=row["best_streak"],
        play_seconds=row["play_seconds"],
        average_score=row["score_sum"] // sessions if sessions else 0,
    )
