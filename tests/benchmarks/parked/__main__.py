"""`make bench`: what 100,000 parked instances cost a service, beside a service with none."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from contextlib import AsyncExitStack
from datetime import timedelta

import msgspec

from shared.testing.servers import Databases, embedded_postgres
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.parked.house import CLOCK, House, open_house
from tests.benchmarks.parked.report import Life, Report, markdown
from tests.benchmarks.parked.scans import measure_scans

FIRST_DUE = timedelta(days=1)
APART = timedelta(minutes=1)
SETTLE_SECONDS = 5.0
"""Some ten looks of the timekeeper."""


async def bench(*, parked: int, due: int, rounds: int) -> Report:
    """Measures in two houses, one after the other in each round."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(fsync=True))
        databases = Databases(postgres.url)
        empty = await stack.enter_async_context(open_house(databases))
        full = await stack.enter_async_context(open_house(databases))
        await full.park("parked", parked, CLOCK.now() + FIRST_DUE, APART)
        for house in (empty, full):
            await house.tidy()
        scans = await measure_scans(empty, full, due=due, parked=parked)
        lives = await _live((empty, full), due, rounds)
        await empty.check(parked=1, completed=rounds * due)
        await full.check(parked=1 + parked, completed=rounds * due)
        return Report(
            machine=await describe_machine(empty.pool),
            method=(
                "The parked ones are copies, made by SQL, of one that a service has parked. Idle "
                f"memory {SETTLE_SECONDS:g} s after the start of the process; then {rounds} rounds "
                f"of {due:,} instances that become due at once, in both by turns. Figures: median "
                "(lowest to highest)."
            ),
            parked=parked,
            scans=scans,
            lives=lives,
        )


async def _live(houses: tuple[House, House], due: int, rounds: int) -> tuple[Life, Life]:
    lives = (Life(), Life())
    for house in houses:
        await house.tidy()
        await house.process.start()
    await asyncio.sleep(SETTLE_SECONDS)
    for house, life in zip(houses, lives, strict=True):
        life.rss_idle_bytes = house.rss_bytes()
    pairs = list(zip(houses, lives, strict=True))
    for number in range(rounds):
        for house, life in pairs:
            life.per_second.append(await house.wake(f"round-{number}", due))
        pairs.reverse()
    for house, life in zip(houses, lives, strict=True):
        life.rss_after_bytes = house.rss_bytes()
        await house.process.stop()
    return lives


def main() -> None:
    """Prints the tables, or with --json every single figure."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.parked", description=__doc__)
    parser.add_argument("--parked", type=int, default=100_000)
    parser.add_argument("--due", type=int, default=1000, help="that become due at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="every single figure")
    given = parser.parse_args()
    report = asyncio.run(bench(parked=given.parked, due=given.due, rounds=given.rounds))
    sys.stdout.write(
        msgspec.json.format(msgspec.json.encode(report)).decode()
        if given.json
        else markdown(report)
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
