"""python -m tests.faults.storm: kills and freezes all parts under load, and looks for harm."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import asyncpg

from shared.jetstream.connection import connect
from shared.jetstream.patience import PASSING
from shared.runtime.logging import configure
from tests.cluster import Cluster, running_cluster
from tests.faults.callers import Callers
from tests.faults.chaos import Chaos, plan
from tests.faults.witness import Witness

CALLERS = 40
PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.2
SETTINGS = {"LEASE_SECONDS": "2", "ACK_WAIT_SECONDS": "2", "LOG_LEVEL": "warning"}


@dataclass(frozen=True)
class Report:
    """What a storm did, and what it broke."""

    seed: int
    seconds: float
    settling_seconds: float
    """From the last blow, or the last start, until nothing was left to do."""
    starts: int
    instances: int
    repeats: int
    blows: Counter[str]
    complaints: list[str]
    own_deaths: list[str]

    def __str__(self) -> str:
        blows = ", ".join(f"{number} {kind}" for kind, number in sorted(self.blows.items()))
        return (
            f"storm with seed {self.seed}: {self.starts} starts accepted, {self.instances} "
            f"instances, {self.repeats} calls repeated, blows: {blows}, {self.seconds:.1f} s, "
            f"{self.settling_seconds:.1f} of them to settle"
        )


async def storm(seed: int, seconds: float, logs: Path) -> Report:
    """One storm of at least so many seconds, on a cluster of its own."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            running_cluster(logs, replicas=2, settings=SETTINGS)
        )
        client = await connect(cluster.nats_url, "storm")
        stack.push_async_callback(client.close)
        http = await stack.enter_async_context(cluster.http())
        pool = await asyncpg.create_pool(cluster.database_url, min_size=0, max_size=8)
        stack.callback(pool.terminate)
        callers = Callers(http, client, seed)
        chaos = Chaos(cluster)
        stack.push_async_callback(chaos.leave)
        loop = asyncio.get_running_loop()
        began = loop.time()
        chaos.guard()
        await _rage(cluster, callers, chaos, seed, seconds)
        witness = Witness(pool, client, callers)
        raged = loop.time()
        complaints = await _settle(witness)
        settled = loop.time()
        complaints += await witness.complaints()
        return Report(
            seed=seed,
            seconds=settled - began,
            settling_seconds=settled - raged,
            starts=len(callers.started),
            instances=await pool.fetchval("SELECT count(*) FROM workflow_instances"),
            repeats=callers.repeats,
            blows=chaos.blows,
            complaints=complaints,
            own_deaths=chaos.own_deaths,
        )


async def _rage(
    cluster: Cluster, callers: Callers, chaos: Chaos, seed: int, seconds: float
) -> None:
    """Callers and blows side by side, until the time is over and the starts are plenty."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(callers.play(number, enough))
        await chaos.rage(plan(cluster, Random(seed), seconds))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await callers.plenty.wait()
        enough.set()


async def _settle(witness: Witness) -> list[str]:
    """What has not ended when patience has."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    unsettled: list[str] = ["nobody could look"]
    while unsettled and loop.time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            unsettled = await witness.unsettled()
        except (*PASSING, asyncpg.PostgresError, asyncpg.InterfaceError):
            continue  # the last to be killed is still starting
    return unsettled


def main() -> int:
    """Runs one storm; fails with the seed and what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to rage (60)")
    parser.add_argument("--seed", type=int, help="of an earlier storm, to have its blows again")
    parser.add_argument("--logs", type=Path, default=Path(".data/storm"), help="folder of logs")
    options = parser.parse_args()
    configure("storm", "error")
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    sys.stdout.write(f"storm with seed {seed}, logs in {options.logs}\n")
    report = asyncio.run(storm(seed, options.seconds, options.logs))
    for line in (str(report), *report.own_deaths, *report.complaints):
        sys.stdout.write(f"{line}\n")
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
