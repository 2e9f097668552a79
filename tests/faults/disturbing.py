"""What is done to a process at one of its points, and at each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from shared.testing.faults import Faults
from shared.testing.journeys import StartJourney
from shared.testing.samples import StartSample
from tests.faults.parts import JourneyPart, SamplePart
from tests.faults.sweep import Mistakes, NotAsItMustBe, Part, Process, World, finish

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


def waiting_journey(name: str) -> Part:
    """It parks for the signal after commits of the same delivery."""
    return JourneyPart(StartJourney(id=name, sleep_seconds=0), early=False)


def paused_journey(name: str) -> Part:
    return JourneyPart(StartJourney(id=name), early=False, paused=True)


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
    only: str = "",
) -> int:
    """Disturbs a process at each of its points, or at those whose name begins so; returns the
    number of all."""
    points = await points_of(world, make("baseline"), mistakes)
    for point in range(first, len(points), every):
        if not points[point].startswith(only):
            continue
        try:
            await disturb(world, make(f"at-{point}"), point, mistakes)
        except NotAsItMustBe as wrong:
            raise NotAsItMustBe(f"{points[point]} (point {point}): {wrong}") from wrong
    return len(points)
