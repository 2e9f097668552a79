"""`make bench`: what a sweep costs where a hundred thousand subscriptions are not due."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

import asyncpg
import msgspec

import services.billing
from services.billing.store.sweep import SweepStore
from services.billing.workflows.billing_sweep import BATCH, BillingSweepWorkflow
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.testing.servers import Databases, embedded_postgres
from shared.workflow.step import Step
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.measure import WrongResult
from tests.benchmarks.report import spread, table
from tests.plans import Plan, plan_of, statements_of
from tests.subscribers import customers, subscriptions

SQL = Path(services.billing.__path__[0]) / "sql"
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = timedelta(days=20)


class Sweeps(msgspec.Struct, frozen=True, kw_only=True):
    """Of one database."""

    subscriptions: int
    due: int
    sweeps_ms: list[float]
    """All batches of one sweep: who is due, and the start of a run of each."""
    plan: Plan
    """Of the first batch's statement."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured, with what it ran on."""

    machine: str
    rounds: int
    found: list[Sweeps]


async def bench(sizes: list[tuple[int, int]], rounds: int) -> Report:
    """Sweeps databases with so many subscriptions, and so many of them due, by turns."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(fsync=True))
        databases = Databases(postgres.url)
        pools = [await _filled(stack, databases, *size) for size in sizes]
        sweeps_ms: list[list[float]] = [[] for _ in sizes]
        for _ in range(rounds):
            for (_, due), pool, found in zip(sizes, pools, sweeps_ms, strict=True):
                found.append(await _sweep(pool, due))
        [(statement, args)] = await statements_of(
            lambda connection: SweepStore(connection).take_due(NOW, NOW + LATER, BATCH)
        )
        return Report(
            machine=await describe_machine(pools[0]),
            rounds=rounds,
            found=[
                Sweeps(
                    subscriptions=total,
                    due=due,
                    sweeps_ms=found,
                    plan=await plan_of(pool, statement, *args),
                )
                for (total, due), pool, found in zip(sizes, pools, sweeps_ms, strict=True)
            ],
        )


async def _filled(
    stack: AsyncExitStack, databases: Databases, total: int, due: int
) -> asyncpg.Pool[asyncpg.Record]:
    url = await databases.create("billing", {"engine": ENGINE_SQL, "billing": SQL})
    pool = await create_pool(url, size=2, name="sweep", idle_timeout_seconds=3600)
    stack.callback(pool.terminate)
    async with pool.acquire() as connection:
        made = await customers(connection, total, NOW)
        await subscriptions(connection, made[:due], NOW, NOW)
        await subscriptions(connection, made[due:], NOW + LATER, NOW)
        await connection.execute("VACUUM ANALYZE")
    return pool


async def _sweep(pool: asyncpg.Pool[asyncpg.Record], due: int) -> float:
    """Milliseconds until every run is about to be started; afterwards all are due again."""
    started = 0
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        began = perf_counter()
        while await BillingSweepWorkflow().sweep(step := Step(connection, NOW, "sweep", "sweep")):
            started += len(step.messages)
        elapsed_ms = 1000 * (perf_counter() - began)
        await transaction.rollback()
    if started != due:
        raise WrongResult(f"{started} runs were started instead of {due}")
    return elapsed_ms


def markdown(report: Report) -> str:
    """The table with its circumstances, to be pasted into a document."""
    least = median(report.found[0].sweeps_ms)
    rows = [
        (
            f"{each.due:,} due of {each.subscriptions:,}",
            spread(each.sweeps_ms, 2),
            f"{median(each.sweeps_ms) / least:.2f}",
            f"{each.plan.pages:,} pages: {', '.join(dict.fromkeys(each.plan.scans))}; "
            f"{each.plan.in_vain:,} rows in vain",
        )
        for each in report.found
    ]
    head = ("subscriptions", "a sweep, ms", "ratio", "what the statement of a batch reads")
    rounds = f"{report.rounds} sweeps of each, by turns. Figures: median (lowest to highest)."
    return "\n".join([report.machine, "", rounds, "", *table(head, rows)])


def main() -> None:
    """Prints the table, or with --json every single figure."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.sweep", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="every single figure")
    given = parser.parse_args()
    total, due = given.subscriptions, given.subscriptions // 100
    sizes = [(total // 10, due), (total, due), (total, 0), (total, due * 10)]
    report = asyncio.run(bench(sizes, given.rounds))
    text = msgspec.json.format(msgspec.json.encode(report)).decode()
    sys.stdout.write(f"{text if given.json else markdown(report)}\n")


if __name__ == "__main__":
    main()
