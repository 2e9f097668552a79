"""A process is cut off, or frozen, at each point it passes; nothing is lost or done twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import pytest

from tests.faults.disturbing import (
    Disturb,
    MakePart,
    cut_at,
    failing_journey,
    freeze_at,
    journey,
    meet_at,
    paused_journey,
    plain,
    sweep,
    waiting_journey,
    winding,
)
from tests.faults.sweep import Mistakes, World

RecordProperty = Callable[[str, object], None]

PARTS = [
    pytest.param(plain, 2, id="plain"),
    pytest.param(winding, 4, id="winding"),
    pytest.param(journey, 12, id="journey"),
    pytest.param(failing_journey, 16, id="failing"),
    pytest.param(paused_journey, 16, id="paused"),
]
"""What is played, and at every how many points it is disturbed where time is short."""


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
@pytest.mark.parametrize("make", [waiting_journey, paused_journey], ids=["waiting", "paused"])
async def test_a_signal_and_controls_may_come_at_any_point(
    world: World, make: MakePart, record_property: RecordProperty
) -> None:
    await sweep_and_tell(world, make, 16, meet_at, record_property)


async def sweep_and_tell(
    world: World, make: MakePart, every: int, disturb: Disturb, record_property: RecordProperty
) -> None:
    """Every so many points, from one that the seed says; `SWEEP=full` for all of them."""
    if os.environ.get("SWEEP") == "full":
        every = 1
    seed = int(os.environ.get("SWEEP_SEED", "0")) or Random().randrange(1, 10_000)
    name = f"{make.__name__}, {disturb.__name__}"
    record_property("crash sweep", f"{name}: every {every} points, SWEEP_SEED={seed}")
    number = await sweep(
        world, make, Mistakes(), disturb, every=every, first=Random(seed).randrange(every)
    )
    record_property("crash sweep", f"{name}: {number} points")
    assert number > 10
