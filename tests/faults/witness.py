"""What must be true once a storm is over, seen in the tables, in EVENTS and in the bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.jetstream.connection import jetstream
from shared.messages import subjects
from shared.messages.events import EventEnvelope
from shared.messages.workflows import StatusDocument
from shared.postgres.store import PostgresStore
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey
from tests.faults.callers import Callers

EXAMPLES = 5

NOTHING_FOUND = {
    "unfinished instances": """
        SELECT id, status FROM workflow_instances WHERE status <> 'complete'""",
    "dead letters": "SELECT subject, reason, detail FROM dead_letters",
    "messages left in the outbox": "SELECT subject FROM outbox WHERE sent_at IS NULL",
    # Whatever was killed, no step has failed: none was tried a second time (rule 7).
    "steps with more than one attempt": """
        SELECT id, name, state, attempts FROM workflow_journal
        WHERE attempts <> 1 OR state NOT IN ('complete', 'skipped')""",
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
"""Queries that must find nothing."""

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


class Witness:
    """Looks once everything is still; each complaint is a sentence."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], client: Client, callers: Callers):
        self._pool = pool
        self._js = jetstream(client)
        self._callers = callers

    async def unsettled(self) -> list[str]:
        """What is still to come: work that waits, instances that run, messages in the outbox."""
        found: list[str] = []
        for stream in (subjects.workflows_stream("player"), subjects.INGEST_STREAM):
            state = (await self._js.stream_info(stream)).state
            if state.messages:
                found.append(f"{state.messages} messages in {stream}: {await self._held(stream)}")
        for name in ("unfinished instances", "messages left in the outbox"):
            found += await self._nothing(name)
        return found

    async def _held(self, stream: str) -> str:
        """Whose the messages are: not delivered yet, or delivered and not settled."""
        return ", ".join(
            f"{each.name} has {each.num_pending} to come and {each.num_ack_pending} in hand"
            for each in await self._js.consumers_info(stream)
        )

    async def complaints(self) -> list[str]:
        """All that is wrong; a storm that did no harm leaves none."""
        found = [each for name in NOTHING_FOUND for each in await self._nothing(name)]
        found += await self._starts()
        found += await self._events()
        found += await self._statuses()
        return found

    async def _nothing(self, name: str) -> list[str]:
        rows = await self._pool.fetch(NOTHING_FOUND[name])
        return _told(name, [tuple(row.values()) for row in rows])

    async def _column(self, query: str) -> set[Any]:
        return {row[0] for row in await self._pool.fetch(query)}

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
            *_differ("runs", runs, callers.started | callers.published),
            *_differ("players with a run by login", logins, callers.logins),
            *_differ("sessions", sessions, callers.sessions),
            *_differ("players", players, callers.players),
        ]

    async def _events(self) -> list[str]:
        """Each fact once for a consumer that drops repeats, as the tables have it."""
        found: list[str] = []
        events: dict[str, EventEnvelope] = {}
        bodies: dict[str, bytes] = {}
        for message in await self._everything(subjects.EVENTS_STREAM, "events.>"):
            event = msgspec.json.decode(message.data, type=EventEnvelope)
            if bodies.setdefault(event.id, message.data) != message.data:
                found.append(f"event {event.id} came with two bodies")
            events[event.id] = event
        outbox = await self._column("SELECT message_id FROM outbox WHERE subject LIKE 'events.%'")
        found += _differ("events", events, outbox)
        facts: dict[str, list[dict[str, Any]]] = {name: [] for name in (*FACTS, "level_reached")}
        for event in events.values():
            facts[event.name].append(msgspec.json.decode(event.data, type=dict[str, Any]))
        for name, (query, field) in FACTS.items():
            rows = Counter((str(row[0]), row[1]) for row in await self._pool.fetch(query))
            told = Counter((data["playerId"], str(data.get(field))) for data in facts[name])
            found += _told(f"{name} missing", list((rows - told).elements()))
            found += _told(f"{name} too many", list((told - rows).elements()))
        found += await self._levels(facts["level_reached"])
        found += await self._sequences(events.values())
        return found

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
        return _told("levels told with gaps or twice", wrong)

    async def _sequences(self, events: Iterable[EventEnvelope]) -> list[str]:
        """The facts of each instance are numbered from 1 to as many as it counts."""
        numbers: dict[str, list[int]] = {}
        for event in events:
            if event.workflow is not None:
                numbers.setdefault(event.workflow.id, []).append(event.sequence or 0)
        rows = await self._pool.fetch("SELECT id, event_sequence FROM workflow_instances")
        wrong = [
            (row["id"], found, row["event_sequence"])
            for row in rows
            if (found := sorted(numbers.get(row["id"], [])))
            != list(range(1, row["event_sequence"] + 1))
        ]
        return _told("instances whose events are numbered otherwise", wrong)

    async def _statuses(self) -> list[str]:
        """The bucket has what each journal says, and no other key."""
        messages = await self._everything(subjects.STATUS_STREAM, subjects.status_subject(">"))
        bucket = {
            message.subject: msgspec.json.decode(message.data, type=StatusDocument)
            for message in messages
        }
        store = PostgresStore("player", self._pool, self._pool)
        journals: dict[str, StatusDocument] = {}
        for workflow_id in await self._column("SELECT id FROM workflow_instances"):
            if loaded := await store.load(InstanceKey("player", workflow_id)):
                journals[subjects.status_subject(str(loaded[0].key))] = project(*loaded)
        wrong = [
            (key, bucket[key].status, bucket[key].order, journals[key].order)
            for key in bucket.keys() & journals.keys()
            if bucket[key] != journals[key]
        ]
        return [
            *_differ("keys of the status bucket", bucket, journals),
            *_told("statuses that are not their journals'", wrong),
        ]

    async def _everything(self, stream: str, subject: str) -> list[Msg]:
        """All messages of a stream."""
        number = (await self._js.stream_info(stream)).state.messages
        subscription = await self._js.subscribe(subject, stream=stream, ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=10) for _ in range(number)]
        await subscription.unsubscribe()
        return messages


def _told(what: str, rows: list[Any]) -> list[str]:
    return [f"{len(rows)} {what}, such as {rows[:EXAMPLES]}"] if rows else []


def _differ(what: str, found: Iterable[Any], expected: Iterable[Any]) -> list[str]:
    found, expected = set(found), set(expected)
    return [
        *_told(f"{what} missing", sorted(expected - found, key=str)),
        *_told(f"{what} too many", sorted(found - expected, key=str)),
    ]
