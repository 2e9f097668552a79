"""People of a town: what is put in of them, what is left, and where it might still lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from shared.jetstream.connection import jetstream
from shared.messages import subjects
from shared.runtime.service import Service

BOUND_SECONDS = 60.0
LOOK_SECONDS = 0.05
NEVER = "0 0 1 1 *"
"""No sweep by the clock."""

BODIES = {"outbox": "body", "dead_letters": "body", "request_results": "reply"}
"""Columns of bytes, which are read as what they hold."""


@dataclass
class Person:
    """Ann, by all the words that lead to her."""

    player_id: str = field(default_factory=lambda: str(uuid4()))
    customer_id: str = field(default_factory=lambda: str(uuid4()))
    mark: str = field(default_factory=lambda: uuid4().hex[:12])

    @property
    def email(self) -> str:
        return f"ann-{self.mark}@example.org"

    @property
    def words(self) -> list[str]:
        """Every text that was put in; each is found nowhere else."""
        return [
            self.email,
            f"game-{self.mark}",
            f"shop-{self.mark}",
            f"I live at {self.mark} Lane",
            f"present for {self.mark}",
        ]

    @property
    def body(self) -> dict[str, str]:
        return {"playerId": self.player_id, "customerId": self.customer_id}


@dataclass
class Town:
    """Asks over HTTP, and looks into everything that keeps something."""

    http: TestClient[Request, Application]
    client: Client
    pools: dict[str, asyncpg.Pool[asyncpg.Record]]
    make: Callable[[str], Service]
    running: dict[str, tuple[Service, asyncio.Task[str | None]]] = field(
        default_factory=dict[str, tuple[Service, "asyncio.Task[str | None]"]]
    )

    # -- services --------------------------------------------------------------------------------

    def open(self, name: str) -> None:
        """Starts a service."""
        service = self.make(name)
        self.running[name] = (service, asyncio.create_task(service.run()))

    async def close(self, name: str) -> None:
        """Ends it; it may not have failed."""
        service, task = self.running.pop(name)
        service.stop()
        assert await task is None

    @asynccontextmanager
    async def without(self, name: str) -> AsyncGenerator[None]:
        """While this service does not run."""
        await self.close(name)
        yield
        self.open(name)

    # -- requests --------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Status and answer; a service that has not begun yet is asked again. Bounded."""
        headers = {"Idempotency-Key": key} if key else {}
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                async with self.http.request(method, path, json=body, headers=headers) as answer:
                    if answer.status != 503:
                        return answer.status, await answer.json()
                await asyncio.sleep(LOOK_SECONDS)

    async def post(self, path: str, body: Any = None, key: str = "") -> Any:
        """The answer of what must succeed."""
        status, answer = await self.ask("POST", path, body, key)
        assert status in {200, 201, 202}, answer
        return answer

    async def run(self, kind: str, body: Any) -> Any:
        """The status of an instance once it has ended."""
        started = await self.post(f"/api/workflows/{kind}", body)
        return await self.until(
            f"/api/workflows/{started['workflowId']}?kind={kind}",
            lambda seen: seen["status"] in {"complete", "errored", "terminated"},
        )

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """What is read once it holds. Bounded."""
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                if holds(seen := (await self.ask("GET", path))[1]):
                    return seen
                await asyncio.sleep(LOOK_SECONDS)

    # -- people ----------------------------------------------------------------------------------

    async def move_in(self) -> Person:
        """Ann comes, plays, writes, is given something, and subscribes."""
        ann = Person()
        await self.post(
            "/api/players",
            {"id": ann.player_id, "externalId": f"game-{ann.mark}", "email": ann.email},
            key=f"create-{ann.mark}",
        )
        at = f"/api/players/{ann.player_id}"
        await self.post(f"{at}/logins", {})
        await self.post(f"{at}/messages", {"text": f"I live at {ann.mark} Lane"})
        present = {"key": "p1", "reason": f"present for {ann.mark}", "coins": 5, "xp": 500}
        await self.post(f"{at}/grants", present, key=f"present-{ann.mark}")
        await self.post(
            "/api/sessions",
            {"sessionId": str(uuid4()), "playerId": ann.player_id, "status": "completed"},
        )
        # A fact that nobody can take lies among the dead letters, with all that it says.
        fact = b'{"playerId": "%s", "text": "I live at %s Lane"}'
        body = fact % (ann.player_id.encode(), ann.mark.encode())
        await jetstream(self.client).publish(subjects.ingest("player", "message"), body)
        await self.found("player", "SELECT count(*) = 1 FROM dead_letters")
        await self.post(
            "/api/customers",
            {
                "id": ann.customer_id,
                "externalId": f"shop-{ann.mark}",
                "email": ann.email,
                "currency": "EUR",
                "paymentMethod": "pm_card_visa",
            },
            key=f"customer-{ann.mark}",
        )
        await self.post("/api/workflows/player", {"playerId": ann.player_id})
        await self.found(
            "billing",
            "SELECT count(*) = 1 FROM customers WHERE provider_reference IS NOT NULL",
        )
        return ann

    async def subscribe(self, ann: Person) -> str:
        """Ann's subscription, paid for."""
        plan = {"id": "pro", "name": "Pro", "price": "9.99", "currency": "EUR", "interval": "month"}
        await self.post("/api/plans", plan)
        asked = {"customerId": ann.customer_id, "planId": "pro"}
        subscription = await self.post("/api/subscriptions", asked)
        await self.found("billing", "SELECT count(*) = 1 FROM invoices WHERE paid_at IS NOT NULL")
        return str(subscription["id"])

    # -- what is kept ----------------------------------------------------------------------------

    async def found(self, service: str, query: str, *args: Any) -> None:
        """Returns once the query is true. Bounded."""
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                if await self.pools[service].fetchval(query, *args):
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def places(self, words: Iterable[str]) -> set[str]:
        """Everywhere that one of the words is found: tables of all schemas, messages of all
        streams, and with them all buckets."""
        wanted = list(words)
        places = {
            f"{name}.{table}"
            for name, pool in self.pools.items()
            for table in await tables_with(pool, wanted)
        }
        return places | await streams_with(self.client, wanted)


async def tables_with(pool: asyncpg.Pool[asyncpg.Record], words: list[str]) -> set[str]:
    """The tables, of every schema that is not the server's own, with one of the words in a row."""
    tables = await pool.fetch(
        """
        SELECT table_schema, table_name FROM information_schema.tables
        WHERE table_type = 'BASE TABLE'
          AND table_schema NOT IN ('pg_catalog', 'information_schema')
        """
    )
    assert len(tables) > 10
    found: set[str] = set()
    for table in tables:
        name = table["table_name"]
        body = BODIES.get(name)
        readable = f"|| encode(t.{body}, 'escape')" if body else ""
        hits = await pool.fetchval(
            f"""
            SELECT count(*) FROM "{table["table_schema"]}"."{name}" AS t
            WHERE EXISTS (SELECT FROM unnest($1::text[]) AS word
                          WHERE position(word IN t::text {readable}) > 0)
            """,
            words,
        )
        found |= {name} if hits else set()
    return found


async def streams_with(client: Client, words: list[str]) -> set[str]:
    """The streams with one of the words in a message."""
    js = jetstream(client)
    found: set[str] = set()
    for info in await js.streams_info():
        name = str(info.config.name)
        sequence = info.state.first_seq
        while sequence <= info.state.last_seq:
            try:
                message = await js.get_msg(name, sequence)
            except Exception:  # noqa: BLE001 - a message that was deleted
                sequence += 1
                continue
            whole = (message.data or b"") + f"{message.headers}".encode()
            if any(word.encode() in whole for word in words):
                found.add(name)
            sequence += 1
    return found
