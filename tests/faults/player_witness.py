"""What must be true of players once a storm is over."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client

from shared.messages import subjects
from shared.messages.events import EventEnvelope
from tests.faults.callers import Callers
from tests.faults.witness import Witness, complain, differ

NOTHING_FOUND = {
    "instances that are not complete": """
        SELECT id, status FROM workflow_instances WHERE status <> 'complete'""",
    "dead letters": "SELECT subject, reason, detail FROM dead_letters",
    "steps that are not finished": """
        SELECT id, name, state FROM workflow_journal WHERE state NOT IN ('complete', 'skipped')""",
    "instances without their five steps": """
        SELECT id, count(*) FROM workflow_journal GROUP BY id HAVING count(*) <> 5""",
    "balances that are not the sums of their grants": """
        SELECT p.player_uuid, p.xp, p.coins, p.skill_points, g.*
        FROM player_progress AS p LEFT JOIN (
            SELECT player_uuid, sum(xp) AS xp, sum(coins) AS coins, sum(skill_points) AS points
            FROM player_grants GROUP BY player_uuid) AS g USING (player_uuid)
        WHERE (p.xp, p.coins, p.skill_points) IS DISTINCT FROM
              (coalesce(g.xp, 0), coalesce(g.coins, 0), coalesce(g.points, 0))""",
    "levels without a grant each": """
        SELECT p.player_uuid, p.level, count(g) FROM player_progress AS p
        LEFT JOIN player_grants AS g ON g.player_uuid = p.player_uuid AND g.source_kind = 'level'
        GROUP BY p.player_uuid HAVING count(g) <> p.level - 1""",
    "players with a run and no reward": """
        SELECT i.input->>'playerId' FROM workflow_instances AS i WHERE NOT EXISTS (
            SELECT FROM daily_rewards AS d
            WHERE d.player_uuid = (i.input->>'playerId')::uuid)""",
    "rewards and their grants that differ": """
        SELECT * FROM (SELECT player_uuid, reward_day::text, experience_gained, coins_gained
                       FROM daily_rewards) AS d
        FULL JOIN (SELECT player_uuid, source_key, xp, coins FROM player_grants
                   WHERE source_kind = 'daily_reward') AS g
        ON g.player_uuid = d.player_uuid AND g.source_key = d.reward_day
            AND g.xp = d.experience_gained AND g.coins = d.coins_gained
        WHERE g.player_uuid IS NULL OR d.player_uuid IS NULL""",
    "sessions and their grants that differ": """
        SELECT s.id, s.score, g.xp FROM (SELECT * FROM game_sessions) AS s
        FULL JOIN (SELECT * FROM player_grants WHERE source_kind = 'session') AS g
        ON g.source_key = s.id::text AND g.xp = s.score AND g.player_uuid = s.player_uuid
        WHERE g.id IS NULL OR s.id IS NULL""",
    "sessions not counted once": """
        SELECT t.player_uuid, t.sessions_completed, count(s) FROM player_stats AS t
        LEFT JOIN game_sessions AS s
            ON s.player_uuid = t.player_uuid AND s.folded_at IS NOT NULL
        GROUP BY t.player_uuid HAVING count(s) <> t.sessions_completed
            OR coalesce(sum(s.score), 0) <> t.score_sum""",
    "achievements without one notification": """
        SELECT a.player_uuid, a.achievement_id FROM player_achievements AS a
        LEFT JOIN notifications AS n ON n.player_uuid = a.player_uuid
            AND n.type = 'achievement_unlocked' AND n.source_key = a.achievement_id
        GROUP BY 1, 2 HAVING count(n) <> 1""",
}

FACTS = {
    "daily_reward_claimed": (
        "SELECT player_uuid, reward_day::text FROM daily_rewards",
        "rewardDay",
    ),
    "achievement_unlocked": (
        "SELECT player_uuid, achievement_id FROM player_achievements",
        "achievementId",
    ),
    "session_completed": ("SELECT player_uuid, id::text FROM game_sessions", "sessionId"),
    "player_logged_in": (
        "SELECT player_uuid, 'None' FROM event_logs WHERE event = 'login'",
        "nothing",
    ),
}
"""Of each fact that stands for a row: the rows, and the field that tells them apart."""


class PlayerWitness(Witness):
    """Compares what callers were told with the tables, and these with the facts."""

    queues = (subjects.INGEST_STREAM,)
    nothing_found = NOTHING_FOUND

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], client: Client, callers: Callers):
        super().__init__("player", pool, client)
        self._callers = callers

    async def _own(self, events: list[EventEnvelope]) -> list[str]:
        return [*await self._starts(), *await self._facts(events)]

    async def _starts(self) -> list[str]:
        """What was accepted is there, and nothing else is."""
        callers = self._callers
        runs = await self._column("SELECT id FROM workflow_instances WHERE id NOT LIKE 'login-%'")
        logins = await self._column(
            "SELECT (input->>'playerId')::uuid FROM workflow_instances WHERE id LIKE 'login-%'"
        )
        sessions = await self._column("SELECT id FROM game_sessions")
        players = await self._column("SELECT uuid FROM players")
        return [
            *differ("runs", runs, callers.started | callers.published),
            *differ("players with a run by login", logins, callers.logins),
            *differ("sessions", sessions, callers.sessions),
            *differ("players", players, callers.players),
        ]

    async def _facts(self, events: list[EventEnvelope]) -> list[str]:
        """Each fact once, as the tables have it."""
        found: list[str] = []
        facts: dict[str, list[dict[str, Any]]] = {name: [] for name in (*FACTS, "level_reached")}
        for event in events:
            facts[event.name].append(msgspec.json.decode(event.data, type=dict[str, Any]))
        for name, (query, field) in FACTS.items():
            rows = Counter((str(row[0]), row[1]) for row in await self._pool.fetch(query))
            told = Counter((data["playerId"], str(data.get(field))) for data in facts[name])
            found += complain(f"{name} missing", list((rows - told).elements()))
            found += complain(f"{name} too many", list((told - rows).elements()))
        return [*found, *await self._levels(facts["level_reached"])]

    async def _levels(self, reached: list[dict[str, Any]]) -> list[str]:
        """Each player's levels as told lead without a gap from 1 to where the player stands."""
        told: dict[str, list[tuple[int, int]]] = {}
        for data in reached:
            told.setdefault(data["playerId"], [(0, 1)]).append(
                (data["previousLevel"], data["level"])
            )
        rows = await self._pool.fetch("SELECT player_uuid, level FROM player_progress")
        wrong = [
            (player, row["level"], path)
            for row in rows
            if (player := str(row["player_uuid"]))
            and (path := sorted(told.get(player, [(0, 1)])))
            and (path[-1][1] != row["level"] or any(a[1] != b[0] for a, b in pairwise(path)))
        ]
        return complain("levels told with gaps or twice", wrong)
