"""A service's process with servers of its own, and as many parked instances as one likes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import asyncpg
import psutil

from services.stack.processes import ServiceProcess
from shared.jetstream.connection import connect
from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.messages.base import encode
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.clocks import SystemClock
from shared.testing.servers import Databases, embedded_nats, temporary_folder
from shared.workflow.records import OutboxMessage
from tests.benchmarks.measure import WrongResult
from tests.benchmarks.parked.naps import StartNap
from tests.cluster import service_process

CLOCK = SystemClock()
TEMPLATE = "template"
FAR = timedelta(days=365)
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02
LEASE_SECONDS = 30.0

# Copies of an instance that a service has parked, so that they are what a service leaves.
COPY_INSTANCES = """
INSERT INTO workflow_instances SELECT made.*
FROM workflow_instances AS t, generate_series(1, $2::integer) AS n, jsonb_populate_record(
    t, jsonb_build_object('id', $1 || '-' || n, 'wake_at', $3::timestamptz + n * $4::interval,
                          'due_at', $3 + n * $4)) AS made
WHERE t.id = 'template'
"""
COPY_JOURNALS = """
INSERT INTO workflow_journal SELECT made.*
FROM workflow_journal AS t, generate_series(1, $2::integer) AS n, jsonb_populate_record(
    t, jsonb_build_object('id', $1 || '-' || n, 'due_at', CASE WHEN t.due_at IS NOT NULL
                          THEN $3::timestamptz + n * $4::interval END)) AS made
WHERE t.id = 'template'
"""
# As the timekeeper leaves messages that it has looked after in vain: their next look is to come.
FILL_INBOX = """
INSERT INTO inbox (kind, id, message_id, category, type, payload, stream, stream_seq, created_at,
                   due_at, wakes)
SELECT 'nap', $1 || '-' || n, n::text, 'signal', 'nobody-waits', 'null', 'stream', n, now(),
       clock_timestamp() + make_interval(hours => 1, secs => n * 0.01), 10
FROM generate_series(1, $2::integer) AS n
"""
PARKED = "SELECT count(*) FROM workflow_instances WHERE status = 'waiting'"
COMPLETED = """
SELECT count(*) FROM workflow_instances WHERE finished_at > $1 AND retired_at IS NULL
"""
WHOLE = """
SELECT count(*) FROM workflow_instances AS i WHERE status = 'complete' AND 3 = (
    SELECT count(*) FROM workflow_journal AS j
    WHERE j.kind = i.kind AND j.id = i.id AND j.state = 'complete')
"""
DISTURBED = "SELECT count(*) FROM workflow_instances WHERE status = 'waiting' AND wakes > 0"


@dataclass(frozen=True)
class House:
    """One replica of the service, with a database and a nats-server that nobody else uses."""

    process: ServiceProcess
    nats_url: str
    pool: asyncpg.Pool[asyncpg.Record]
    store: PostgresStore

    async def park_template(self) -> None:
        """Has the service park an instance, and stops it."""
        await self.process.start()
        client = await connect(self.nats_url, "bench")
        try:
            start = StartNap(id=TEMPLATE, until=CLOCK.now() + FAR)
            await JetStreamPublisher(client).publish(
                [OutboxMessage(id=TEMPLATE, subject=subjects.start(start.kind), body=encode(start))]
            )
            await self._until(PARKED, count=1)
        finally:
            await client.close()
        await self.process.stop()

    async def park(self, name: str, count: int, first_due: datetime, apart: timedelta) -> None:
        """Parks so many more in one transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            for statement in (COPY_INSTANCES, COPY_JOURNALS):
                await connection.execute(statement, name, count, first_due, apart)

    async def tidy(self) -> None:
        """What autovacuum does sooner or later, so that it does not come in the middle."""
        for table in ("workflow_instances", "workflow_journal", "inbox"):
            await self.pool.execute(f"VACUUM ANALYZE {table}")

    async def wake(self, name: str, count: int) -> float:
        """Parks instances that are due at once; how many a second the service completes."""
        began = CLOCK.now()
        await self.park(name, count, began, timedelta())
        since = perf_counter()
        await self._until(COMPLETED, began, count=count)
        return count / (perf_counter() - since)

    def rss_bytes(self) -> int:
        """Resident memory of the service's process."""
        if self.process.pid is None:
            raise WrongResult(f"the service has ended: {self.process.last_words()}")
        return int(psutil.Process(self.process.pid).memory_info().rss)

    async def check(self, *, parked: int, completed: int) -> None:
        """Raises WrongResult unless each has ended that was due, and no other was looked at."""
        found = (
            await self.pool.fetchval(PARKED),
            await self.pool.fetchval(WHOLE),
            await self.pool.fetchval(DISTURBED),
        )
        if found != (parked, completed, 0):
            raise WrongResult(
                f"parked, complete, disturbed: {found} instead of {(parked, completed, 0)}"
            )

    async def _until(self, query: str, *args: object, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if await self.pool.fetchval(query, *args) >= count:
                    return
                # Not at once: to be asked costs the server's time, which is measured.
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def open_house(databases: Databases) -> AsyncGenerator[House]:
    """A house with its service not started yet, and nothing parked but the template."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(embedded_nats())
        logs: Path = await stack.enter_async_context(temporary_folder())
        url = await databases.create(StartNap.service, {"engine": ENGINE_SQL})
        pool = await create_pool(url, size=2, name="bench", idle_timeout_seconds=LEASE_SECONDS)
        stack.callback(pool.terminate)
        process = service_process(
            "bench",
            "tests.benchmarks.parked.naps",
            logs,
            {
                **os.environ,
                "NATS_URL": nats.url,
                "DATABASE_URL": url,
                "HTTP_HOST": "127.0.0.1",
                "LOG_LEVEL": "warning",
            },
        )
        stack.push_async_callback(process.stop)
        house = House(process, nats.url, pool, PostgresStore(StartNap.service, pool, pool))
        await house.park_template()
        yield house
