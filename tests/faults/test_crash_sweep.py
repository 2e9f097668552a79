"""A process is cut off, or frozen, at each point it passes; nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest

from shared.messages.base import encode
from shared.postgres import statements
from shared.testing.faults import Faults, FaultyStore, FaultyTransaction
from shared.testing.journeys import StartJourney
from shared.testing.rig import DueStore
from shared.testing.samples import StartSample
from shared.workflow import executor
from shared.workflow.compensation import Compensation
from shared.workflow.execution import Execution
from shared.workflow.ports import StatusBucket, Transaction
from shared.workflow.projection import project
from shared.workflow.records import Checkpoint, Committed, Instance
from tests.faults.parts import JourneyPart, SamplePart
from tests.faults.sweep import Mistakes, NotAsItMustBe, Part, Process, World, finish

RecordProperty = Callable[[str, object], None]

MakePart = Callable[[str], Part]
"""A part to play, under an id."""

Disturb = Callable[[World, Part, int, Mistakes], Awaitable[None]]


def plain(name: str) -> Part:
    return SamplePart(StartSample(id=name, steps=3))


def winding(name: str) -> Part:
    """Fused, aborted, unfused, retried, asleep and awake again."""
    return SamplePart(StartSample(id=name, steps=4, sleep_seconds=3600, fail_step=2, failures=1))


def journey(name: str) -> Part:
    return JourneyPart(StartJourney(id=name))


def failing_journey(name: str) -> Part:
    return JourneyPart(StartJourney(id=name, fails=True), early=False)


def paused_journey(name: str) -> Part:
    return JourneyPart(StartJourney(id=name), early=False, paused=True)


PARTS = [
    pytest.param(plain, 1, id="plain"),
    pytest.param(winding, 1, id="winding"),
    pytest.param(journey, 8, id="journey"),
    pytest.param(failing_journey, 8, id="failing"),
    pytest.param(paused_journey, 8, id="paused"),
]
"""What is played, and at every how many points it is disturbed where time is short."""


async def points_of(world: World, part: Part, mistakes: Mistakes) -> list[str]:
    """The points that an undisturbed process passes."""
    faults = Faults()
    process = Process(world, part, faults, mistakes)
    await world.begin()
    await finish(world, part, process, process)
    await part.check(world)
    return faults.passed


async def cut_at(world: World, part: Part, point: int, mistakes: Mistakes) -> None:
    """A process dies at the point, and another takes over."""
    await world.begin()
    dying = Process(world, part, Faults(point), mistakes)
    await finish(world, part, dying, Process(world, part, Faults(), mistakes))
    await part.check(world)


async def freeze_at(world: World, part: Part, point: int, mistakes: Mistakes) -> None:
    """A process stands still at the point, another does its work, and then it goes on."""
    async with frozen(world, part, point, mistakes) as other:
        await finish(world, part, other, other)
    await part.check(world)


async def meet_at(world: World, part: Part, point: int, mistakes: Mistakes) -> None:
    """A process stands still at the point while another takes all that is still to be sent to the
    instance, and goes on at once."""
    async with frozen(world, part, point, mistakes) as other:
        messages = part.rest()
        await world.publisher.publish(messages)
        for _ in messages:
            delivery = await world.next_message()
            if delivery is not None:
                await other.deliver(delivery)
    await part.check(world)


@asynccontextmanager
async def frozen(
    world: World, part: Part, point: int, mistakes: Mistakes
) -> AsyncGenerator[Process]:
    """Another process, while one stands still at the point; afterwards that one goes on to the
    end."""
    await world.begin()
    faults = Faults(point, freeze=True)
    process = Process(world, part, faults, mistakes)
    freezing = asyncio.create_task(finish(world, part, process, process))
    reaching = asyncio.create_task(faults.reached.wait())
    try:
        await asyncio.wait({freezing, reaching}, return_when=asyncio.FIRST_COMPLETED)
        yield Process(world, part, Faults(), mistakes)
        faults.thaw.set()
        await freezing
    finally:
        faults.thaw.set()
        for task in (freezing, reaching):
            task.cancel()
        await asyncio.wait({freezing, reaching})


async def sweep(
    world: World,
    make: MakePart,
    mistakes: Mistakes,
    disturb: Disturb,
    *,
    every: int = 1,
    first: int = 0,
) -> int:
    """Disturbs a process at each of its points; returns their number."""
    points = await points_of(world, make("baseline"), mistakes)
    for point in range(first, len(points), every):
        try:
            await disturb(world, make(f"at-{point}"), point, mistakes)
        except NotAsItMustBe as wrong:
            raise NotAsItMustBe(f"{points[point]} (point {point}): {wrong}") from wrong
    return len(points)


@pytest.mark.rule("engine-5", "engine-8", "engine-11", "engine-26")
@pytest.mark.parametrize(("make", "every"), PARTS)
async def test_a_process_may_die_at_any_point(
    world: World, make: MakePart, every: int, record_property: RecordProperty
) -> None:
    await sweep_and_tell(world, make, every, cut_at, record_property)


@pytest.mark.rule("engine-3", "engine-5", "engine-6")
@pytest.mark.parametrize(("make", "every"), PARTS)
async def test_a_process_may_freeze_at_any_point_while_another_works(
    world: World, make: MakePart, every: int, record_property: RecordProperty
) -> None:
    await sweep_and_tell(world, make, every, freeze_at, record_property)


@pytest.mark.rule("engine-12", "engine-13", "engine-14")
async def test_a_signal_and_controls_may_come_at_any_point(
    world: World, record_property: RecordProperty
) -> None:
    await sweep_and_tell(world, paused_journey, 8, meet_at, record_property)


async def sweep_and_tell(
    world: World, make: MakePart, every: int, disturb: Disturb, record_property: RecordProperty
) -> None:
    """Every so many points, from one that the seed says; `SWEEP=full` for all of them."""
    if os.environ.get("SWEEP") == "full":
        every = 1
    seed = int(os.environ.get("SWEEP_SEED", "0")) or Random().randrange(1, 10_000)
    number = await sweep(
        world, make, Mistakes(), disturb, every=every, first=Random(seed).randrange(every)
    )
    name = f"{make.__name__}, {disturb.__name__}"
    record_property("crash sweep", f"{name}: {number} points, every {every}, SWEEP_SEED={seed}")
    assert number > 10


# -- planted mistakes: a sweep that cannot fail would show nothing -------------------------------


async def test_the_sweep_finds_an_ack_before_the_commit(world: World) -> None:
    with pytest.raises(NotAsItMustBe):
        await sweep(world, plain, Mistakes(ack_first=True), cut_at)


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
        await sweep(world, plain, Mistakes(store=StatusFirst), cut_at)


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
        await sweep(world, winding, Mistakes(), freeze_at)


async def test_the_sweep_finds_compensations_in_the_wrong_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_they_came(compensations: list[Compensation], **_: object) -> list[Compensation]:
        return compensations

    monkeypatch.setattr(executor, "sorted", as_they_came, raising=False)
    with pytest.raises(NotAsItMustBe):
        await sweep(world, failing_journey, Mistakes(), cut_at)


async def test_the_sweep_finds_a_call_whose_attempt_is_made_before_its_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unrecorded(*_: object) -> None:
        """Sends first, and forgets with the process."""

    def unnoticed(*_: object) -> None:
        """Nothing was counted."""

    monkeypatch.setattr(Execution, "commit_attempt", unrecorded)
    monkeypatch.setattr(Execution, "landed", unnoticed)
    with pytest.raises(NotAsItMustBe):
        await sweep(world, journey, Mistakes(), cut_at)
