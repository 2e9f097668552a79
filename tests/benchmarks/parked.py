"""python -m tests.benchmarks.parked: what instances cost that wait for their time."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg
import psutil

import services
from services.stack.processes import Service, ServiceProcess
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.embedded.child import free_port
from shared.testing.servers import Databases, embedded_nats, embedded_postgres

FAR = datetime(2126, 1, 1, tzinfo=UTC)
BATCH = 500
SCANS = 200
DUE = 1_000
STILL_SECONDS = 5.0
PATIENCE_SECONDS = 120.0

PARK = """
    INSERT INTO workflow_instances
        (kind, id, status, input, version, wake_at, due_at, due_clock, created_at, updated_at,
         started_at)
    SELECT 'player', 'parked-' || n, 'waiting',
           json_build_object('playerId', gen_random_uuid()), 1, $2, $2, 'business', $2, $2, $2
    FROM generate_series(1, $1) AS n
"""

FALL_DUE = """
    UPDATE workflow_instances SET wake_at = clock_timestamp(), due_at = clock_timestamp()
    WHERE id IN (SELECT 'parked-' || n * $2 FROM generate_series(1, $1) AS n)
"""

UNENDED = "SELECT count(*) FROM workflow_instances WHERE due_at < $1"


class Place:
    """A database with so many parked instances, and a service's process on it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], process: ServiceProcess):
        self.pool = pool
        self.process = process
        self.store = PostgresStore("player", pool, pool)

    async def scan_ms(self) -> float:
        """One look of the timekeeper that finds nothing."""
        began = perf_counter()
        found = await self.store.take_due(datetime.now(UTC), BATCH)  # noqa: TID251 - as a service
        if found:
            raise RuntimeError(f"{len(found)} instances were due: nothing should be")
        return (perf_counter() - began) * 1000

    def memory_mib(self) -> float:
        """Resident memory of the service's process."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    async def park(self, number: int) -> None:
        """Parks instances for a century."""
        await self.pool.execute(PARK, number, FAR)
        await self.pool.execute("VACUUM ANALYZE workflow_instances")

    async def wake(self, number: int, of: int) -> float:
        """Lets some of them fall due; the seconds until all of these have ended."""
        began = perf_counter()
        await self.pool.execute(FALL_DUE, number, of // number)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.pool.fetchval(UNENDED, FAR):  # noqa: ASYNC110 - another process ends them
                await asyncio.sleep(0.05)
        return perf_counter() - began


@asynccontextmanager
async def open_places(number: int) -> AsyncGenerator[list[Place]]:
    """So many on one PostgreSQL with fsync, each with a nats-server of its own."""
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = await stack.enter_async_context(embedded_postgres(fsync=True))
        databases = Databases(postgres.url)
        own_sql = Path(services.__path__[0]) / "player" / "sql"
        places: list[Place] = []
        for each in range(number):
            nats = await stack.enter_async_context(embedded_nats())
            url = await databases.create("player", {"engine": ENGINE_SQL, "player": own_sql})
            pool = await create_pool(url, size=4, name="bench", idle_timeout_seconds=60)
            stack.callback(pool.terminate)
            port = free_port()
            process = ServiceProcess(
                Service("player", "services.player", has_database=False),
                logs / f"player-{each}.log",
                port,
                {
                    **os.environ,
                    "NATS_URL": nats.url,
                    "DATABASE_URL": url,
                    "HTTP_PORT": str(port),
                    "LOG_LEVEL": "error",
                },
            )
            await process.start()
            stack.push_async_callback(process.stop)
            places.append(Place(pool, process))
        yield places


async def bench(parked: int) -> list[str]:
    """The lines of a table."""
    async with open_places(2) as (empty, full):
        await full.park(parked)
        # Some ticks of each process's own timekeeper.
        await asyncio.sleep(STILL_SECONDS)
        # In turns, so that a slow moment of the machine meets both.
        scans = [(await empty.scan_ms(), await full.scan_ms()) for _ in range(SCANS)]
        ratio = median(one[1] / one[0] for one in scans)
        idle, beside = empty.memory_mib(), full.memory_mib()
        await empty.park(DUE)
        alone_seconds = await empty.wake(DUE, DUE)
        among_seconds = await full.wake(DUE, parked)
        return [
            f"| | none parked | {parked:,} parked | ratio |",
            "| --- | ---: | ---: | ---: |",
            f"| memory of the service's process, MiB | {idle:.1f} | {beside:.1f} "
            f"| {beside / idle:.2f} |",
            f"| a look of the timekeeper, median of {SCANS}, ms "
            f"| {median(one[0] for one in scans):.2f} | {median(one[1] for one in scans):.2f} "
            f"| {ratio:.2f} |",
            f"| {DUE:,} that fall due at once, until all have ended, s "
            f"| {alone_seconds:.2f} | {among_seconds:.2f} | {among_seconds / alone_seconds:.2f} |",
        ]


def main() -> None:
    """Prints the table."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.parked", description=__doc__)
    parser.add_argument("--parked", type=int, default=100_000)
    given = parser.parse_args()
    sys.stdout.write("\n".join(asyncio.run(bench(given.parked))) + "\n")


if __name__ == "__main__":
    main()
