"""A process is cut off, or frozen, at each point it passes; nothing is lost or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from shared.messages.base import encode
from shared.postgres import statements
from shared.testing.faults import Faults, FaultyStore, FaultyTransaction
from shared.testing.rig import DueStore
from shared.testing.samples import StartSample
from shared.workflow.ports import StatusBucket, Transaction
from shared.workflow.projection import project
from shared.workflow.records import Checkpoint, Committed, Instance
from tests.faults.sweep import Mistakes, NotAsItMustBe, Process, World, check, finish, publish_start

RecordProperty = Callable[[str, object], None]

Disturb = Callable[[World, StartSample, int, Mistakes], Awaitable[None]]

PLAIN = StartSample(steps=3)
WINDING = StartSample(steps=4, sleep_seconds=3600, fail_step=2, failures=1)
"""Fused, aborted, unfused, retried, asleep and awake again."""


async def points_of(world: World, start: StartSample, mistakes: Mistakes) -> list[str]:
    """The points that an undisturbed process passes."""
    faults = Faults()
    process = Process(world, faults, mistakes)
    await publish_start(world, start)
    await finish(world, start, process, process)
    return faults.passed


def numbered(start: StartSample, name: str) -> StartSample:
    """The same start under an id of its own."""
    return msgspec.structs.replace(start, id=name)


async def cut_at(world: World, start: StartSample, point: int, mistakes: Mistakes) -> None:
    """A process dies at the point, and another takes over."""
    await publish_start(world, start)
    dying = Process(world, Faults(point), mistakes)
    await finish(world, start, dying, Process(world, Faults(), mistakes))
    await check(world, start)


async def freeze_at(world: World, start: StartSample, point: int, mistakes: Mistakes) -> None:
    """A process stands still at the point, another does its work, and then it goes on."""
    await publish_start(world, start)
    faults = Faults(point, freeze=True)
    frozen = Process(world, faults, mistakes)
    other = Process(world, Faults(), mistakes)
    freezing = asyncio.create_task(finish(world, start, frozen, frozen))
    reaching = asyncio.create_task(faults.reached.wait())
    await asyncio.wait({freezing, reaching}, return_when=asyncio.FIRST_COMPLETED)
    await finish(world, start, other, other)
    faults.thaw.set()
    await freezing
    await check(world, start)


async def sweep(
    world: World, start: StartSample, mistakes: Mistakes, disturb: Disturb, every: int = 1
) -> int:
    """Disturbs a process at each of its points; returns their number."""
    points = await points_of(world, numbered(start, "baseline"), mistakes)
    for point in range(0, len(points), every):
        try:
            await disturb(world, numbered(start, f"at-{point}"), point, mistakes)
        except NotAsItMustBe as wrong:
            raise NotAsItMustBe(f"{points[point]} (point {point}): {wrong}") from wrong
    return len(points)


@pytest.mark.rule("engine-5", "engine-8", "engine-11", "engine-26")
@pytest.mark.parametrize("start", [PLAIN, WINDING], ids=["plain", "winding"])
async def test_a_process_may_die_at_any_point(
    world: World, start: StartSample, record_property: RecordProperty
) -> None:
    number = await sweep(world, start, Mistakes(), cut_at)
    record_property("crash sweep", f"{number} points, the process cut off at each")
    assert number > 10


@pytest.mark.rule("engine-3", "engine-5", "engine-6")
@pytest.mark.parametrize("start", [PLAIN, WINDING], ids=["plain", "winding"])
async def test_a_process_may_freeze_at_any_point_while_another_works(
    world: World, start: StartSample, record_property: RecordProperty
) -> None:
    number = await sweep(world, start, Mistakes(), freeze_at)
    record_property("crash sweep", f"{number} points, the process frozen at each")
    assert number > 10


# -- planted mistakes: a sweep that cannot fail would show nothing -------------------------------


async def test_the_sweep_finds_an_ack_before_the_commit(world: World) -> None:
    with pytest.raises(NotAsItMustBe):
        await sweep(world, PLAIN, Mistakes(ack_first=True), cut_at)


class StatusFirst(FaultyStore):
    """A store whose transactions show their outcome before they commit it."""

    def __init__(self, inner: DueStore, statuses: StatusBucket):
        super().__init__(inner, Faults())
        self._statuses = statuses

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        async with super().transaction() as transaction:
            yield ShowsFirst(transaction, self._statuses)


class ShowsFirst(FaultyTransaction):
    def __init__(self, inner: Transaction, statuses: StatusBucket):
        super().__init__(inner, Faults())
        self._statuses = statuses
        self._shown: tuple[Instance, Checkpoint, Committed] | None = None

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        committed = await super().write(instance, checkpoint)
        self._shown = (instance, checkpoint, committed)
        return committed

    async def commit(self) -> None:
        if self._shown is not None:
            instance, checkpoint, committed = self._shown
            shown = msgspec.structs.replace(
                instance,
                status=checkpoint.status,
                version=committed.version,
                updated_at=checkpoint.now,
            )
            order = (committed.generation, committed.version, 0)
            document = encode(project(shown, checkpoint.entries))
            await self._statuses.put(instance.key, document, order, None)
        await super().commit()


async def test_the_sweep_finds_a_status_before_the_commit(world: World) -> None:
    with pytest.raises(NotAsItMustBe, match="status"):
        await sweep(world, PLAIN, Mistakes(store=StatusFirst), cut_at)


async def test_the_sweep_finds_a_missing_fence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfenced = statements.CHECKPOINT.replace(
        "AND epoch = $4 AND version = $5", "AND $4::bigint > 0 AND $5::bigint >= 0"
    ).replace(
        "WHERE j.state IN ('retrying', 'calling', 'verifying', 'sleeping', 'waiting', 'started')",
        "",
    )
    assert unfenced != statements.CHECKPOINT
    monkeypatch.setattr(statements, "CHECKPOINT", unfenced)
    unlocked = statements.LOCK.replace("epoch = $4", "$4::bigint > 0")
    assert unlocked != statements.LOCK
    monkeypatch.setattr(statements, "LOCK", unlocked)
    with pytest.raises(NotAsItMustBe):
        await sweep(world, WINDING, Mistakes(), freeze_at)
