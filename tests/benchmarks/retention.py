"""`make bench`: what a player's reads and writes feel of a million old rows being deleted."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import quantiles
from time import perf_counter
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.client import Client
from prometheus_client import REGISTRY

import services.maintenance
import services.player
from services.maintenance.backlog import Backlog
from services.maintenance.store.retention import RetentionStore
from services.player.store.retention import datasets
from shared.messages.retention import ApplyRetention
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.vacuum import VacuumStore
from shared.runtime.keeping import apply
from shared.runtime.surroundings import Surroundings
from shared.testing.clocks import ManualClock
from shared.testing.servers import Databases, embedded_postgres
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measure import WrongResult
from tests.benchmarks.report import table

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
KEEP = timedelta(days=30)
PLAYERS = 1000
YOUNG = 100_000
PAUSE_SECONDS = 0.002
"""Between two turns of the other client, so that it does not keep a core busy by itself."""

# Old ones lie in the thirty days before the cutoff, young ones in the thirty after it.
FILL = """
    INSERT INTO messages (id, player_uuid, text, created_at)
    SELECT gen_random_uuid(), lpad(to_hex(n % $1 + 1), 32, '0')::uuid, 'so long',
           $2::timestamptz - (n + 1) * interval '30 days' / ($3::bigint + 1)
    FROM generate_series(0, $3::bigint - 1) AS n
"""
PLAYER = "INSERT INTO players (uuid, created_at) SELECT lpad(to_hex(n), 32, '0')::uuid, $2 \
FROM generate_series(1, $1::int) AS n"
READ = """
    SELECT id, text, created_at FROM messages WHERE player_uuid = $1 AND created_at > $2
    ORDER BY created_at DESC LIMIT 20
"""
WRITE = "INSERT INTO messages (id, player_uuid, text, created_at) \
VALUES (gen_random_uuid(), $1, 'hello', $2)"


class Felt(msgspec.Struct):
    """How long the other client waited, in milliseconds."""

    reads: list[float] = msgspec.field(default_factory=list[float])
    writes: list[float] = msgspec.field(default_factory=list[float])


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured, with what it ran on."""

    machine: str
    load: tuple[float, float]
    """Average over a minute, before and after."""
    old: int
    delete_seconds: float
    quiet: Felt
    deleting: Felt
    backlog_days: list[float]
    """By the metric, after each request."""
    vacuum_seconds: float


async def bench(old: int, window_seconds: float) -> Report:
    """Deletes so many rows, a request of `window_seconds` after another, with as long a rest
    between them.

    Raises WrongResult unless exactly the old rows are gone and the backlog is zero.
    """
    before = os.getloadavg()[0]
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(fsync=True))
        databases = Databases(postgres.url)
        game = await _pool(stack, databases, "player", Path(services.player.__path__[0]))
        policies = await _pool(
            stack, databases, "maintenance", Path(services.maintenance.__path__[0])
        )
        await _fill(game, old)
        clock = ManualClock(NOW)
        surroundings = Surroundings(clock=clock, pool=game, client=Client())
        [messages] = [each for each in datasets() if each.name == "messages"]
        asked = ApplyRetention(
            name="messages",
            keep_seconds=int(KEEP.total_seconds()),
            budget_seconds=window_seconds,
        )
        other = _Other(game)
        quiet, deleting = Felt(), Felt()
        backlog_days: list[float] = []
        deleted, delete_seconds, done = 0, 0.0, False
        while not done:
            async with other.beside(quiet):
                await asyncio.sleep(window_seconds)
            async with other.beside(deleting):
                began = perf_counter()
                applied = await apply(messages, surroundings, asked)
                delete_seconds += perf_counter() - began
            deleted, done = deleted + applied.deleted, applied.done
            store = RetentionStore(policies)
            await store.applied("player", "messages", NOW, applied.overdue_since)
            backlog_days.append(await _backlog_seconds(policies, clock) / 86_400)
        left = await game.fetchval("SELECT count(*) FROM messages")
        if (deleted, left, backlog_days[-1]) != (old, YOUNG + other.written, 0):
            raise WrongResult(f"{deleted} deleted, {left} left, {backlog_days[-1]} days behind")
        began = perf_counter()
        if not await VacuumStore(game).vacuum("messages"):
            raise WrongResult("somebody held the table: it was not vacuumed")
        return Report(
            machine=await describe_machine(game),
            load=(before, os.getloadavg()[0]),
            old=old,
            delete_seconds=delete_seconds,
            quiet=quiet,
            deleting=deleting,
            backlog_days=backlog_days,
            vacuum_seconds=perf_counter() - began,
        )


async def _pool(
    stack: AsyncExitStack, databases: Databases, service: str, home: Path
) -> asyncpg.Pool[asyncpg.Record]:
    url = await databases.create(service, {"engine": ENGINE_SQL, service: home / "sql"})
    pool = await create_pool(url, size=3, name="bench", idle_timeout_seconds=3600)
    stack.callback(pool.terminate)
    return pool


async def _fill(game: asyncpg.Pool[asyncpg.Record], old: int) -> None:
    await game.execute(PLAYER, PLAYERS, NOW)
    await game.execute(FILL, PLAYERS, NOW - KEEP, old)
    await game.execute(FILL, PLAYERS, NOW, YOUNG)
    await game.execute("VACUUM ANALYZE messages")


async def _backlog_seconds(policies: asyncpg.Pool[asyncpg.Record], clock: ManualClock) -> float:
    await Backlog(policies, clock).tick()
    labels = {"owner": "player", "policy": "messages"}
    found = REGISTRY.get_sample_value("retention_backlog_seconds", labels)
    if found is None:
        raise WrongResult("the backlog has no metric")
    return found


class _Other:
    """A client that reads a player's latest messages and says something, turn by turn."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool
        self._random = Random(1)
        self.written = 0

    @asynccontextmanager
    async def beside(self, felt: Felt) -> AsyncGenerator[None]:
        """Goes on meanwhile; its last turn is finished."""
        over = asyncio.Event()
        running = asyncio.create_task(self._run(felt, over))
        try:
            yield
        finally:
            over.set()
            await running

    async def _run(self, felt: Felt, over: asyncio.Event) -> None:
        async with self._pool.acquire() as connection:
            while not over.is_set():
                player = UUID(int=self._random.randint(1, PLAYERS))
                began = perf_counter()
                await connection.fetch(READ, player, NOW - KEEP)
                read = perf_counter()
                await connection.execute(WRITE, player, NOW)
                felt.writes.append(1000 * (perf_counter() - read))
                felt.reads.append(1000 * (read - began))
                self.written += 1
                await asyncio.sleep(PAUSE_SECONDS)


def markdown(report: Report) -> str:
    """The table with its circumstances, to be pasted into a document."""
    rows: list[tuple[str, ...]] = []
    for label, quiet, deleting in (
        ("a read", report.quiet.reads, report.deleting.reads),
        ("a write", report.quiet.writes, report.deleting.writes),
    ):
        for share, at in (("median", 49), ("99 %", 98)):
            without, beside = quantiles(quiet, n=100)[at], quantiles(deleting, n=100)[at]
            rows.append(
                (
                    f"{label}, {share}, ms",
                    f"{without:.2f}",
                    f"{beside:.2f}",
                    f"{beside / without:.2f}",
                )
            )
    turns = f"{len(report.quiet.reads):,} and {len(report.deleting.reads):,} turns"
    backlog = ", ".join(f"{each:.1f}" for each in report.backlog_days)
    return "\n".join(
        [
            report.machine,
            "",
            f"{report.old:,} rows deleted in {report.delete_seconds:.1f} s, "
            f"{report.old / report.delete_seconds:,.0f} a second, in "
            f"{len(report.backlog_days)} requests with as long a rest between them; {turns} of "
            f"the other client. Load average {report.load[0]:.1f} before, {report.load[1]:.1f} "
            "after.",
            "",
            *table(("the other client", "at rest", "beside the deletion", "ratio"), rows),
            "",
            f"Backlog by the metric, after each request, in days: {backlog}. "
            f"VACUUM (ANALYZE) then took {report.vacuum_seconds:.1f} s.",
        ]
    )


def main() -> None:
    """Prints the table, or with --json every single figure."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.retention", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--window-seconds", type=float, default=0.5)
    parser.add_argument("--json", action="store_true", help="every single figure")
    given = parser.parse_args()
    report = asyncio.run(bench(given.rows, given.window_seconds))
    text = msgspec.json.format(msgspec.json.encode(report)).decode()
    sys.stdout.write(f"{text if given.json else markdown(report)}\n")


if __name__ == "__main__":
    main()
