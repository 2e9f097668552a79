"""Code that changes under running instances: patches, and journals of another build."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.messages.workflows import Status
from shared.testing.journeys import leave_row, unpack
from shared.workflow.context import WorkflowContext
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, Run, World

HOUR = timedelta(hours=1)


async def old(ctx: WorkflowContext) -> None:
    await ctx.step("first", leave_row, "first")
    await ctx.sleep("night", HOUR)
    await ctx.step("second", leave_row, "second")
    await ctx.sleep("next night", HOUR)


async def patched(ctx: WorkflowContext) -> None:
    """The same with a step before all others, and another one in the place of the second."""
    if ctx.patched("before"):
        await ctx.step("zeroth", leave_row, "zeroth")
    await ctx.step("first", leave_row, "first")
    await ctx.sleep("night", HOUR)
    if ctx.patched("better second"):
        await ctx.step("better", leave_row, "better")
    else:
        await ctx.step("second", leave_row, "second")
    await ctx.sleep("next night", HOUR)


async def after_all(ctx: WorkflowContext) -> None:
    """The same once no instance is older than the patches: without the markers."""
    await ctx.step("zeroth", leave_row, "zeroth")
    await ctx.step("first", leave_row, "first")
    await ctx.sleep("night", HOUR)
    await ctx.step("better", leave_row, "better")
    await ctx.sleep("next night", HOUR)


@pytest.mark.rule("engine-22")
async def test_a_new_instance_takes_the_new_path_on_every_replay(world: World) -> None:
    process = world.process(patched)
    assert await process.start() == "parked"
    assert await process.rig.advance(HOUR) == ["parked"]
    assert await process.rig.advance(HOUR) == ["complete"]
    assert await world.effects() == ["zeroth", "first", "better"]
    assert [step.name for step in (await world.status()).steps] == [
        "zeroth",
        "first",
        "night",
        "better",
        "next night",
    ]


@pytest.mark.rule("engine-22")
async def test_an_instance_that_is_past_the_patch_keeps_the_old_path(world: World) -> None:
    process = world.process(old)
    assert await process.start() == "parked"
    assert await process.rig.advance(HOUR) == ["parked"]
    assert await world.process(patched).rig.advance(HOUR) == ["complete"]
    assert await world.effects() == ["first", "second"]


@pytest.mark.rule("engine-22")
async def test_an_instance_that_is_parked_right_before_a_patch_takes_it(world: World) -> None:
    assert await world.process(old).start() == "parked"
    process = world.process(patched)
    # Past the first patch, and not at the second yet.
    assert await process.rig.advance(HOUR) == ["parked"]
    assert await process.rig.advance(HOUR) == ["complete"]
    assert await world.effects() == ["first", "better"]


@pytest.mark.rule("engine-22")
@pytest.mark.parametrize("rounds_before", [0, 2])
async def test_in_a_loop_an_instance_goes_one_way_to_its_end(
    world: World, rounds_before: int
) -> None:
    async def loop(ctx: WorkflowContext, *, is_new: bool) -> None:
        for _ in range(3):
            name = "new" if is_new and ctx.patched("loop") else "old"
            await ctx.step(name, leave_row, name)
            await ctx.sleep("night", HOUR)

    process = world.process(lambda ctx: loop(ctx, is_new=rounds_before == 0))
    assert await process.start() == "parked"
    if rounds_before:
        assert await process.rig.advance(HOUR) == ["parked"]
        process = world.process(lambda ctx: loop(ctx, is_new=True))
    while (await world.status()).status is Status.WAITING:
        await process.rig.advance(HOUR)
    assert await world.effects() == ["old" if rounds_before else "new"] * 3


@pytest.mark.rule("engine-10", "engine-22")
async def test_each_branch_takes_the_path_it_has_begun(world: World) -> None:
    async def branch(ctx: WorkflowContext, name: str, *, is_new: bool) -> None:
        if name == "late":
            await ctx.sleep("nap", HOUR)
        name = f"new {name}" if is_new and ctx.patched("branch") else f"old {name}"
        await ctx.step("work", leave_row, name)
        await ctx.sleep("night", 2 * HOUR)

    async def run(ctx: WorkflowContext, *, is_new: bool) -> None:
        await ctx.parallel(
            lambda b: branch(b, "early", is_new=is_new), lambda b: branch(b, "late", is_new=is_new)
        )

    assert await world.process(lambda ctx: run(ctx, is_new=False)).start() == "parked"
    process = world.process(lambda ctx: run(ctx, is_new=True))
    while (await world.status()).status is Status.WAITING:
        await process.rig.advance(HOUR)
    assert (await world.status()).status is Status.COMPLETE
    assert await world.effects() == ["old early", "new late"]


@pytest.mark.rule("engine-22")
async def test_a_build_without_the_marker_pauses_the_instance_until_the_right_one_comes(
    world: World,
) -> None:
    assert await world.process(patched).start() == "parked"
    hasty = world.process(after_all)
    assert await hasty.rig.advance(HOUR) == ["mismatched"]
    status = await world.status()
    assert status.status is Status.PAUSED
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("journal_mismatch", "step 'zeroth'")
    assert status.rollback is None
    # It looks again and again, and changes nothing.
    assert await hasty.rig.advance(timedelta(seconds=30)) == ["mismatched"]
    process = world.process(patched)
    assert await process.rig.advance(timedelta(seconds=30)) == ["parked"]
    assert await process.rig.advance(HOUR) == ["complete"]
    assert await world.effects() == ["zeroth", "first", "better"]
    assert (await world.status()).error is None


@pytest.mark.rule("engine-22")
@pytest.mark.parametrize("change", ["renamed", "reordered", "shorter", "another type"])
async def test_what_the_code_does_not_follow_is_released_without_a_compensation(
    world: World, change: str
) -> None:
    async def run(ctx: WorkflowContext, name: str = "b") -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.step(name, leave_row, "b", compensate=unpack)
        await ctx.sleep("night", HOUR)

    async def reordered(ctx: WorkflowContext) -> None:
        await ctx.step("b", leave_row, "b", compensate=unpack)
        await ctx.step("a", leave_row, "a", compensate=unpack)

    async def shorter(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)

    async def another_type(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.sleep("b", HOUR)

    changed: dict[str, Run] = {
        "renamed": lambda ctx: run(ctx, "c"),
        "reordered": reordered,
        "shorter": shorter,
        "another type": another_type,
    }
    assert await world.process(run).start() == "parked"
    assert await world.process(changed[change]).rig.advance(HOUR) == ["mismatched"]
    assert await world.process(run).rig.advance(timedelta(seconds=30)) == ["complete"]
    assert await world.effects() == ["a", "b"]


@pytest.mark.rule("engine-10", "engine-22")
async def test_a_mismatch_in_one_branch_ends_no_other_half_way(world: World) -> None:
    async def run(ctx: WorkflowContext, name: str = "left") -> None:
        await ctx.parallel(
            lambda b: b.step(name, leave_row, "left"), lambda b: b.step("right", leave_row, "right")
        )
        await ctx.sleep("night", HOUR)

    assert await world.process(run).start() == "parked"
    assert await world.process(lambda ctx: run(ctx, "renamed")).rig.advance(HOUR) == ["mismatched"]
    assert await world.process(run).rig.advance(timedelta(seconds=30)) == ["complete"]
    assert sorted(await world.effects()) == ["left", "right"]


@pytest.mark.rule("engine-22")
async def test_arguments_and_what_a_step_does_may_change(world: World) -> None:
    async def run(ctx: WorkflowContext, text: str = "old") -> str:
        first = await ctx.step("first", leave_row, text)
        await ctx.sleep("night", HOUR)
        await ctx.step("second", leave_row, text)
        return first

    assert await world.process(run).start() == "parked"
    process = world.process(lambda ctx: run(ctx, "new"))
    await world.pass_seconds(LOST_SECONDS)
    assert await process.rig.advance(HOUR) == ["complete"]
    assert await process.rig.output(*KEY) == "old"
    assert await world.effects() == ["old", "new"]
