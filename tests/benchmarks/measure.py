"""Interleaved measurements: what is compared was done in the same seconds."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from shared.postgres.transaction import PooledConnection
from tests.benchmarks.stage import Stage
from tests.benchmarks.ways import Pace, PlainTransactions, Way, Workflows
from tests.benchmarks.workload import COMPLETE, COUNTED, UPDATES

WARM_UPS = 2
"""After the first, every connection has every statement prepared."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one run takes on the wire."""

    round_trips: float
    messages_sent: float
    messages_received: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured of one way."""

    name: str
    cost: Cost
    paces: list[Pace]
    """One a round; those of one round belong together."""
    latency_ms: list[float]


class WrongResult(Exception):
    """The figures are worth nothing: the updates are not what they must be."""


async def measure(stage: Stage, *, rounds: int, runs: int, singles: int) -> list[Figures]:
    """`rounds` of `runs` of each way, then `singles` one by one; the plain way comes first.

    Raises WrongResult when an update was lost or made twice, or a workflow was not completed.
    """
    ways: list[Way] = [
        PlainTransactions(stage),
        Workflows("workflow started as by the gateway", stage, stage.start),
        Workflows("workflow started by a bare publish", stage, stage.publish),
    ]
    for _ in range(WARM_UPS):
        for way in ways:
            await way.throughput(runs)
    measured = [
        Figures(name=way.name, cost=await _cost(stage, way, runs), paces=[], latency_ms=[])
        for way in ways
    ]
    for _ in range(rounds):
        for way, figures in zip(ways, measured, strict=True):
            figures.paces.append(await way.throughput(runs))
    async with stage.pulling():
        for number in range(singles):
            for way, figures in zip(ways, measured, strict=True):
                figures.latency_ms.append(await way.latency(number))
    await _check(stage, ((WARM_UPS + 1 + rounds) * runs + singles) * len(ways))
    return measured


async def _cost(stage: Stage, way: Way, runs: int) -> Cost:
    """Counted apart from the timed rounds, since counting takes time as well."""
    statements = 0

    def count(_: object) -> None:
        nonlocal statements
        statements += 1

    async with _every_connection(stage) as connections:
        for connection in connections:
            connection.add_query_logger(count)
    before = dict(stage.client.stats)
    await way.throughput(runs)
    after = stage.client.stats
    async with _every_connection(stage) as connections:
        for connection in connections:
            connection.remove_query_logger(count)
    return Cost(
        round_trips=statements / runs,
        messages_sent=(after["out_msgs"] - before["out_msgs"]) / runs,
        messages_received=(after["in_msgs"] - before["in_msgs"]) / runs,
    )


@asynccontextmanager
async def _every_connection(stage: Stage) -> AsyncGenerator[list[PooledConnection]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(stage.pool.acquire()) for _ in range(stage.workers)]


async def _check(stage: Stage, numbers_made: int) -> None:
    """Every update was made once for each start, and every instance has its whole journal."""
    counted = await stage.pool.fetchval(COUNTED)
    complete = await stage.pool.fetchval(COMPLETE, UPDATES)
    if counted != numbers_made * UPDATES or complete != stage.starts:
        raise WrongResult(
            f"{counted} updates instead of {numbers_made * UPDATES}, "
            f"{complete} complete instances instead of {stage.starts}"
        )
