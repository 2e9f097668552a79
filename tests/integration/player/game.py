"""The player service on a real PostgreSQL: handlers and runs, without NATS."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec

from services.player.handlers import COMMANDS, FACTS, QUERIES
from services.player.workflows.player import PlayerWorkflow
from shared.messages.base import Message
from shared.messages.events import Event
from shared.messages.player import (
    ByPlayer,
    CreatePlayer,
    Inventory,
    Opening,
    PageOfPlayer,
    PlayerReport,
    Progress,
    XpHistory,
)
from shared.messages.workflows import StartPlayer, StatusDocument, Trigger
from shared.postgres.store import PostgresStore
from shared.runtime.handling import AnyHandler, Work
from shared.testing.clocks import ManualClock
from shared.testing.rig import Rig
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings

M = TypeVar("M", bound=Message)

HANDLERS = {handler.name: handler for handler in (*COMMANDS, *FACTS)}
QUERY_HANDLERS = {handler.name: handler for handler in QUERIES}


class Game:
    """Plays: sends what games and operators send, and runs workflows on the real store."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self.pool = pool
        self.clock = ManualClock()
        self.store = PostgresStore("player", pool, pool)
        self.rig = self.with_workflow(PlayerWorkflow())
        self.events: list[Event] = []
        self.triggers: list[Trigger] = []

    def with_workflow(self, workflow: PlayerWorkflow) -> Rig:
        """A bench for another make of the workflow, on the same database and clock."""
        return Rig(
            [register(StartPlayer, workflow)],
            clock=self.clock,
            store=self.store,
            # Long enough that no slow machine breaks a segment up.
            settings=EngineSettings(segment_seconds=30),
        )

    async def do(
        self, answer: type[M], name: str, message: Message, *, key: str | None = None
    ) -> M:
        """Carries out a command or a fact in a transaction, as the service does."""
        return await self._handle(answer, HANDLERS[name], message, key)

    async def ask(self, answer: type[M], name: str, message: Message) -> M:
        """Asks a query."""
        return await self._handle(answer, QUERY_HANDLERS[name], message, None)

    async def _handle(
        self, answer: type[M], handler: AnyHandler, message: Message, key: str | None
    ) -> M:
        assert isinstance(message, handler.message)
        async with self.pool.acquire() as connection, connection.transaction():
            work = Work(connection, self.clock.now(), "tester", key or str(uuid4()))
            reply = await handler.handle(work, message)
        self.events += work.events
        self.triggers += work.triggers
        assert isinstance(reply, answer)
        return reply

    async def player(
        self, *, xp: int = 0, level: int = 1, coins: int = 0, timezone: str = "UTC"
    ) -> UUID:
        """A new player."""
        player_id = uuid4()
        opening = Opening(xp=xp, level=level, coins=coins)
        request = CreatePlayer(id=player_id, timezone=timezone, opening=opening)
        await self.do(Message, "create_player", request)
        return player_id

    async def progress(self, player_id: UUID) -> Progress:
        """Where a player stands."""
        return await self.ask(Progress, "progress", ByPlayer(player_id=player_id))

    async def inventory(self, player_id: UUID) -> Inventory:
        """What a player has."""
        return await self.ask(Inventory, "inventory", ByPlayer(player_id=player_id))

    async def xp_reasons(self, player_id: UUID) -> list[tuple[str, int]]:
        """Where a player's xp came from, in the order it came."""
        page = PageOfPlayer(player_id=player_id, limit=100)
        history = await self.ask(XpHistory, "xp_history", page)
        return [(entry.reason, entry.amount) for entry in reversed(history.entries)]

    async def run(self, player_id: UUID, run_id: str | None = None) -> StatusDocument:
        """Runs the player's workflow to its end."""
        return await self.run_on(self.rig, player_id, run_id)

    async def run_on(self, rig: Rig, player_id: UUID, run_id: str | None = None) -> StatusDocument:
        """The same on another bench; retries are due within seconds of its clock."""
        run_id = run_id or str(uuid4())
        await rig.start(StartPlayer(id=run_id, player_id=player_id))
        status = await rig.status("player", run_id)
        while not status.status.ended:
            assert await rig.advance(timedelta(seconds=10)), "nothing is due, and it has not ended"
            status = await rig.status("player", run_id)
        return status

    async def report(self, player_id: UUID) -> PlayerReport:
        """Runs the player's workflow; what it did."""
        status = await self.run(player_id)
        return msgspec.json.decode(status.output, type=PlayerReport)

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        """Rows as they are committed."""
        return await self.pool.fetch(query, *args)

    async def count(self, table: str, player_id: UUID, condition: str = "true") -> int:
        """How many of a player's rows meet a condition."""
        query = f"SELECT count(*) FROM {table} WHERE player_uuid = $1 AND {condition}"
        found: int = await self.pool.fetchval(query, player_id)
        return found

    async def assert_ledger_agrees(self, player_id: UUID) -> None:
        """Balances are the sums of the ledger, items too."""
        sums = await self.pool.fetchrow(
            "SELECT coalesce(sum(xp), 0)::bigint AS xp, coalesce(sum(coins), 0)::bigint AS coins,"
            " coalesce(sum(skill_points), 0)::bigint AS skill_points,"
            " coalesce(sum(streak_freezes), 0)::int AS streak_freezes"
            " FROM player_grants WHERE player_uuid = $1",
            player_id,
        )
        balances = await self.pool.fetchrow(
            "SELECT xp, coins, skill_points, streak_freezes FROM player_progress"
            " WHERE player_uuid = $1",
            player_id,
        )
        assert sums is not None
        assert balances is not None
        assert dict(sums) == dict(balances)
        given = await self.fetch(
            "SELECT item, count(*) AS quantity FROM player_grants, unnest(items) AS item"
            " WHERE player_uuid = $1 GROUP BY item ORDER BY item",
            player_id,
        )
        held = await self.fetch(
            "SELECT item, quantity FROM player_items WHERE player_uuid = $1 ORDER BY item",
            player_id,
        )
        assert [dict(row) for row in given] == [dict(row) for row in held]

    def at(self, **ago: float) -> datetime:
        """The game's instant, less a span."""
        return self.clock.now() - timedelta(**ago)
