"""The ways to make the same updates, each to be measured alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Protocol

import msgspec

from tests.benchmarks.stage import Stage
from tests.benchmarks.workload import plain_transaction

LOADERS = 50
"""Starts under way at once while the stream is filled, before the clock runs."""


class Pace(msgspec.Struct, frozen=True):
    """How fast many runs went, and what they cost this process."""

    per_second: float
    cpu_ms: float
    """Processor time of this process for one run; the servers' own is not in it."""


@dataclass
class Stopwatch:
    """Machine time and processor time since it was made."""

    began: float = field(default_factory=perf_counter)
    cpu_began: float = field(default_factory=process_time)

    @property
    def elapsed_ms(self) -> float:
        """Machine time so far."""
        return 1000 * (perf_counter() - self.began)

    def pace(self, runs: int) -> Pace:
        """The pace of so many runs since then."""
        return Pace(1000 * runs / self.elapsed_ms, 1000 * (process_time() - self.cpu_began) / runs)


class Way(Protocol):
    """One way to make the updates of a number."""

    @property
    def name(self) -> str: ...

    async def throughput(self, runs: int) -> Pace:
        """Many runs, with every worker busy."""
        ...

    async def latency(self, number: int) -> float:
        """Milliseconds of one run with nothing beside it."""
        ...


class PlainTransactions:
    """As many tasks as the service has workers, each with a transaction after the other."""

    name = "plain transaction"

    def __init__(self, stage: Stage):
        self._stage = stage

    async def throughput(self, runs: int) -> Pace:
        """See Way."""
        watch = Stopwatch()
        await _for_each(range(runs), self._make, self._stage.workers)
        return watch.pace(runs)

    async def latency(self, number: int) -> float:
        """See Way."""
        watch = Stopwatch()
        await self._make(number)
        return watch.elapsed_ms

    async def _make(self, number: int) -> None:
        await plain_transaction(self._stage.pool, number)


class Workflows:
    """Starts that wait in the stream; the clock runs from the first pull to the last ack."""

    def __init__(self, name: str, stage: Stage, start: Callable[[int], Awaitable[None]]):
        self.name = name
        self._stage = stage
        self._start = start

    async def throughput(self, runs: int) -> Pace:
        """See Way."""
        await _for_each(range(runs), self._start, LOADERS)
        watch = Stopwatch()
        async with self._stage.pulling():
            await self._stage.all_completed()
        return watch.pace(runs)

    async def latency(self, number: int) -> float:
        """See Way. From before the start is sent until it is complete, shown and acknowledged."""
        watch = Stopwatch()
        await self._start(number)
        await self._stage.all_completed()
        return watch.elapsed_ms


async def _for_each(numbers: range, act: Callable[[int], Awaitable[None]], at_once: int) -> None:
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            await act(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
