"""One player's progress and ledger: the only way a balance moves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.player.models import Amounts, Earning, Entry, PlayerState, Streak
from shared.workflow.ports import Connection


class LedgerStore:
    """Reads and writes in the transaction of `connection`; whoever decides by what it reads calls
    `lock` first, since READ COMMITTED shows later statements what was committed meanwhile."""

    def __init__(self, connection: Connection, player_id: UUID):
        self._connection = connection
        self._player_id = player_id

    async def lock(self) -> PlayerState | None:
        """The player, alone until the transaction ends; None when there is no such player."""
        row = await self._connection.fetchrow(
            """
            SELECT p.is_active, p.tz, g.level, g.xp, g.coins, g.skill_points, g.streak_current,
                   g.streak_best, g.streak_freezes, g.last_reward_day, g.held_by,
                   g.erased_at IS NOT NULL AS is_erased,
                   (SELECT xp FROM xp_rules WHERE event = 'daily_login') AS daily_base_xp
            FROM players AS p JOIN player_progress AS g ON g.player_uuid = p.uuid
            WHERE p.uuid = $1 FOR UPDATE OF g
            """,
            self._player_id,
        )
        return None if row is None else _state(self._player_id, row)

    async def grant(self, entries: Sequence[Entry], actor: str, at: datetime) -> int:
        """Writes entries into the ledger and moves the balances by those that were not there yet.

        Returns how many those are. The player must be locked.
        """
        given: int | None = await self._connection.fetchval(
            """
            WITH given AS (
                INSERT INTO player_grants
                    (player_uuid, source_kind, source_key, xp, coins, skill_points, streak_freezes,
                     items, reason, actor, day, shortfall, created_at)
                SELECT $1, e.kind, e.key, e.xp, e.coins, e.skill_points, e.streak_freezes,
                       e.items, e.reason, $3, e.day, nullif(e.shortfall, 'null'), $4
                FROM jsonb_to_recordset($2::jsonb) AS e (
                    kind text, key text, xp bigint, coins bigint, skill_points bigint,
                    streak_freezes integer, items text[], reason text, day date, shortfall jsonb)
                ON CONFLICT (player_uuid, source_kind, source_key) DO NOTHING
                RETURNING xp, coins, skill_points, streak_freezes, items
            ), carried AS (
                INSERT INTO player_items AS i (player_uuid, item, quantity)
                SELECT $1, item, count(*) FROM given, unnest(given.items) AS item GROUP BY item
                ON CONFLICT (player_uuid, item) DO UPDATE SET
                    quantity = i.quantity + excluded.quantity
            ), moved AS (
                SELECT count(*) AS entries, sum(xp) AS xp, sum(coins) AS coins,
                       sum(skill_points) AS skill_points, sum(streak_freezes) AS streak_freezes
                FROM given
            )
            UPDATE player_progress AS p SET
                xp = p.xp + moved.xp, coins = p.coins + moved.coins,
                skill_points = p.skill_points + moved.skill_points,
                streak_freezes = p.streak_freezes + moved.streak_freezes, version = p.version + 1
            FROM moved WHERE p.player_uuid = $1 AND moved.entries > 0
            RETURNING moved.entries
            """,
            self._player_id,
            msgspec.json.encode(entries).decode(),
            actor,
            at,
        )
        return given or 0

    async def entry(self, kind: str, key: str) -> Entry | None:
        """What a source has given, if it has."""
        row = await self._connection.fetchrow(
            """
            SELECT source_kind AS kind, source_key AS key, reason, xp, coins, skill_points,
                   streak_freezes, items, shortfall::text AS shortfall
            FROM player_grants
            WHERE player_uuid = $1 AND source_kind = $2 AND source_key = $3
            """,
            self._player_id,
            kind,
            key,
        )
        if row is None:
            return None
        fields: dict[str, Any] = {**row, "items": tuple(row["items"])}
        if row["shortfall"] is not None:
            fields["shortfall"] = msgspec.json.decode(row["shortfall"], type=Amounts)
        return Entry(**fields)

    async def earning(self, event: str, day: date) -> Earning:
        """What `event` is worth, and what has been earned by it on `day`."""
        row = await self._connection.fetchrow(
            """
            SELECT r.xp, r.daily_cap, CASE WHEN r.daily_cap IS NOT NULL THEN (
                SELECT coalesce(sum(g.xp), 0)::bigint FROM player_grants AS g
                WHERE g.player_uuid = $1 AND g.source_kind = r.event AND g.day = $3
            ) ELSE 0 END AS earned_today
            FROM xp_rules AS r WHERE r.event = $2
            """,
            self._player_id,
            event,
            day,
        )
        return Earning(**row)


def _state(player_id: UUID, row: Any) -> PlayerState:
    return PlayerState(
        id=player_id,
        is_active=row["is_active"],
        timezone=row["tz"],
        level=row["level"],
        balance=Amounts(xp=row["xp"], coins=row["coins"], skill_points=row["skill_points"]),
        streak=Streak(
            current=row["streak_current"],
            best=row["streak_best"],
            freezes=row["streak_freezes"],
            last_reward_day=row["last_reward_day"],
        ),
        daily_base_xp=row["daily_base_xp"],
        held_by=row["held_by"],
        is_erased=row["is_erased"],
    )
