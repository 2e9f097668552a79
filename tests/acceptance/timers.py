"""Two services of timers on the virtual clock, a gateway beside them, and a look into all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from nats.aio.client import Client

from services.stack.processes import ServiceProcess
from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.clock import ClockQuery, ClockReport
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.runtime.virtual.coordinator import Coordinator
from shared.runtime.virtual.members import Members
from shared.testing.servers import Databases, embedded_nats, embedded_postgres
from shared.workflow.records import OutboxMessage
from tests.acceptance.game import eventually
from tests.acceptance.timer_service import TIMERS_SQL, StartNorth, StartSouth, StartTimer
from tests.cluster import API_KEY, service_process

SERVICES = ("north", "south")
START = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Firing(NamedTuple):
    """What a step of a timer left."""

    workflow_id: str
    name: str
    instant: datetime


class Timers:
    """What callers and operators do, and what the tables of both services hold."""

    def __init__(
        self,
        nats: EmbeddedNats,
        postgres: EmbeddedPostgres,
        databases: dict[str, str],
        processes: dict[str, ServiceProcess],
        client: Client,
    ):
        self.nats = nats
        self.postgres = postgres
        self.databases = databases
        self.processes = processes
        self.client = client
        self.coordinator = Coordinator(client, SERVICES)

    async def start(self, *triggers: StartTimer) -> None:
        """Starts by bare publishes."""
        await JetStreamPublisher(self.client).publish(
            [
                OutboxMessage(id="", subject=subjects.start(each.kind), body=encode(each))
                for each in triggers
            ]
        )

    async def advance(self, duration: timedelta) -> datetime:
        """Advances from where the clock stands; returns where that was."""
        now = await self.coordinator.now()
        await self.coordinator.advance(now + duration)
        return now

    async def instants(self) -> dict[str, datetime]:
        """Business time of each process, by its name."""
        answers = await Members(self.client).ask(subjects.clock_report(), ClockQuery(), ClockReport)
        return {reading.member: reading.instant for reading in answers.readings}

    async def fetch(self, service: str, query: str, *args: Any) -> list[asyncpg.Record]:
        """Rows of a service's schema."""
        connection = await asyncpg.connect(self.databases[service])
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def value(self, service: str, query: str, *args: Any) -> Any:
        """One value of a service's schema."""
        [row] = await self.fetch(service, query, *args)
        return row[0]

    async def firings(self, prefix: str) -> list[Firing]:
        """What instances whose ids begin so left in both services, in the order of machine time."""
        found = [
            row
            for service in SERVICES
            for row in await self.fetch(
                service, "SELECT * FROM firings WHERE starts_with(workflow_id, $1)", prefix
            )
        ]
        found.sort(key=lambda row: row["fired_at"])
        return [Firing(row["workflow_id"], row["name"], row["instant"]) for row in found]

    async def at_the_gate(self, workflow_id: str) -> None:
        """Returns once the instance is under a lease and its worker waits for the gate."""
        await eventually(
            lambda: self.fetch(
                "north",
                "SELECT 1 FROM workflow_journal WHERE id = $1 AND name = 'slow'",
                workflow_id,
            ),
            bool,
        )

    async def open_gate(self, gate: str) -> None:
        """Lets the worker go on."""
        await self.fetch("north", "INSERT INTO gates VALUES ($1)", gate)


@asynccontextmanager
async def running_timers(logs: Path) -> AsyncGenerator[Timers]:
    """Two replicas of north, one of south, and a gateway; all from START."""
    sql = logs / "sql"
    sql.mkdir()
    (sql / "0001_timers.sql").write_text(TIMERS_SQL)
    async with embedded_postgres() as postgres, embedded_nats() as nats:
        made = Databases(postgres.url)
        databases = {
            name: await made.create(name, {"engine": ENGINE_SQL, name: sql}) for name in SERVICES
        }
        environment = {
            **os.environ,
            "NATS_URL": nats.url,
            "HTTP_HOST": "127.0.0.1",
            "CLOCK": "virtual",
            "CLOCK_START": START.isoformat(),
        }
        processes = {
            f"{service}-{number}": service_process(
                f"{service}-{number}",
                "tests.acceptance.timer_service",
                logs,
                {**environment, "TIMERS": service, "DATABASE_URL": databases[service]},
            )
            for service, replicas in (("north", 2), ("south", 1))
            for number in range(replicas)
        }
        processes["gateway"] = service_process(
            "gateway", "services.gateway", logs, {**environment, "API_KEY": API_KEY}
        )
        client = await connect(nats.url, "test")
        for service, trigger in (("north", StartNorth), ("south", StartSouth)):
            await topology.ensure_streams(jetstream(client), service, [trigger.kind])
        try:
            await asyncio.gather(*(each.start() for each in processes.values()))
            yield Timers(nats, postgres, databases, processes, client)
        finally:
            await client.close()
            await asyncio.gather(*(each.stop() for each in processes.values()))
