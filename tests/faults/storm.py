"""python -m tests.faults.storm: hits all parts under load, and looks for harm."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from shared.jetstream.connection import connect
from shared.jetstream.patience import PASSING
from shared.messages import subjects
from shared.runtime.logging import configure
from shared.testing.samples import EFFECTS_SQL
from shared.workflow.gate import Gate
from tests.cluster import OwnService, running_cluster
from tests.faults import travel
from tests.faults.callers import Callers
from tests.faults.chaos import Chaos
from tests.faults.loss import KINDS, Loss
from tests.faults.outside import Outside
from tests.faults.player_witness import PlayerWitness
from tests.faults.schedule import Blow, schedule
from tests.faults.travel_witness import TravelWitness
from tests.faults.travellers import Travellers
from tests.faults.witness import EXAMPLES, Witness

REPLICAS = 3
NODES = 3
CALLERS = 40
TRAVELLERS = 16
PATIENCE_SECONDS = 120.0
LONGEST_SECONDS = 300.0
"""What callers, travellers and blows may take beyond the schedule, whatever happens."""
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
    trips: int
    instances: int
    repeats: int
    blows: Counter[str]
    recovered: list[str]
    complaints: list[str]
    own_deaths: list[str]

    def __str__(self) -> str:
        blows = ", ".join(f"{number} {kind}" for kind, number in sorted(self.blows.items()))
        return (
            f"storm with seed {self.seed}: {self.starts} starts accepted and {self.trips} trips, "
            f"{self.instances} instances, {self.repeats} calls repeated, blows: {blows}, "
            f"{self.seconds:.1f} s, {self.settling_seconds:.1f} of them to settle"
        )


async def storm(seed: int, seconds: float, logs: Path, say: Callable[[str], None]) -> Report:
    """One storm of at least so many seconds, on a cluster of its own; its schedule is said before
    it begins."""
    async with AsyncExitStack() as stack:
        outside = Outside(seed)
        own = _travel(logs, await stack.enter_async_context(outside.serving()))
        cluster = await stack.enter_async_context(
            running_cluster(logs, replicas=REPLICAS, settings=SETTINGS, nats_nodes=NODES, own=own)
        )
        client = await connect(cluster.nats_url, "storm")
        stack.push_async_callback(client.close)
        http = await stack.enter_async_context(cluster.http())
        pools = {
            name: await asyncpg.create_pool(url, min_size=0, max_size=4)
            for name, url in cluster.databases.items()
        }
        for pool in pools.values():
            stack.callback(pool.terminate)
        gate = Gate()
        callers = Callers(http, client, gate, seed)
        travellers = Travellers(client, gate, seed)
        chaos = Chaos(cluster)
        stack.push_async_callback(chaos.leave)
        loss = Loss(cluster, chaos, client, gate)
        blows = schedule(seed, seconds, chaos.victims(map(subjects.workflows_stream, KINDS)))
        for blow in blows:
            say(str(blow))
        loop = asyncio.get_running_loop()
        began = loop.time()
        chaos.guard()
        try:
            async with asyncio.timeout(seconds + LONGEST_SECONDS):
                await _rage(callers, travellers, chaos, loss, blows)
        except TimeoutError as error:
            raise TimeoutError(f"it does not end; {chaos.own_deaths[-EXAMPLES:]}") from error
        witnesses = (
            PlayerWitness(pools["player"], client, callers),
            TravelWitness(pools["travel"], client, travellers, outside),
        )
        raged = loop.time()
        complaints = await _settle(witnesses)
        settled = loop.time()
        for witness in witnesses:
            complaints += await witness.complaints()
        return Report(
            seed=seed,
            seconds=settled - began,
            settling_seconds=settled - raged,
            starts=len(callers.started),
            trips=len(travellers.trips),
            instances=sum([await witness.instances() for witness in witnesses]),
            repeats=callers.repeats + travellers.repeats,
            blows=chaos.blows,
            recovered=loss.recovered,
            complaints=complaints,
            own_deaths=chaos.own_deaths,
        )


def _travel(logs: Path, outside_url: str) -> OwnService:
    sql = logs / "sql"
    sql.mkdir(parents=True, exist_ok=True)
    (sql / "0001_effects.sql").write_text(EFFECTS_SQL)
    return OwnService(
        travel.SERVICE,
        travel.__name__,
        KINDS["travel"],
        sql,
        lambda _: {"OUTSIDE_URL": outside_url},
    )


async def _rage(
    callers: Callers, travellers: Travellers, chaos: Chaos, loss: Loss, blows: tuple[Blow, ...]
) -> None:
    """Callers and blows side by side, until the schedule is done and the starts are plenty."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(callers.play(number, enough))
        for number in range(TRAVELLERS):
            group.create_task(travellers.travel(number, enough))
        await chaos.rage(blows, loss.strike)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await callers.plenty.wait()
        enough.set()


async def _settle(witnesses: tuple[Witness, ...]) -> list[str]:
    """What has not ended when patience has."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    unsettled: list[str] = ["nobody could look"]
    while unsettled and loop.time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            unsettled = [each for witness in witnesses for each in await witness.unsettled()]
        except (*PASSING, asyncpg.PostgresError, asyncpg.InterfaceError):
            continue  # the last to be hit is still starting
    return unsettled


def main() -> int:
    """Runs one storm; fails with the seed and what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to rage (60)")
    parser.add_argument("--seed", type=int, help="of an earlier storm, to have its schedule again")
    parser.add_argument("--logs", type=Path, default=Path(".data/storm"), help="folder of logs")
    options = parser.parse_args()
    configure("storm", "error")
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    say(f"storm with seed {seed}, logs in {options.logs}")
    report = asyncio.run(storm(seed, options.seconds, options.logs, say))
    for line in (str(report), *report.recovered, *report.own_deaths, *report.complaints):
        say(line)
    return 1 if report.complaints else 0


def say(line: str) -> None:
    """Tells at once, so that a storm that hangs has told its seed."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
