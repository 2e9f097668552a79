"""Branches: side by side, each on a path of its own, and the same again on every replay."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial

import pytest

from shared.testing.journeys import Approved, leave_row
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, World
from tests.conformance.operations.steps import leaving, refuse


@pytest.mark.rule("engine-10")
async def test_results_come_in_the_order_of_the_branches(world: World) -> None:
    release = asyncio.Event()

    async def slow(step: Step) -> int:
        await release.wait()
        return 1

    async def quick(step: Step) -> str:
        release.set()
        return "two"

    async def run(ctx: WorkflowContext) -> list[object]:
        return list(
            await ctx.parallel(lambda b: b.step("slow", slow), lambda b: b.step("quick", quick))
        )

    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == [1, "two"]


ROWS = 5


@pytest.mark.rule("engine-10")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_hundred_branches_share_the_connections_there_are(
    world: World, attempt: int
) -> None:
    open_at_once = most = 0
    met = asyncio.Event()

    async def count(step: Step, number: int) -> int:
        nonlocal open_at_once, most
        open_at_once += 1
        most = max(most, open_at_once)
        if most == 2:
            met.set()
        # Whether two meet by chance is the machine's affair: the first waits for the second.
        async with asyncio.timeout(10):
            await met.wait()
        for _ in range(ROWS):
            # Whoever is let in meanwhile is seen: to come in takes a few statements.
            await leave_row(step, str(number))
            await asyncio.sleep(0)
        open_at_once -= 1
        return number

    async def branch(number: int, ctx: WorkflowContext) -> int:
        await ctx.step("first", count, number)
        return await ctx.step("second", count, number)

    async def run(ctx: WorkflowContext) -> int:
        numbers = await ctx.parallel(*(partial(branch, number) for number in range(100)))
        return sum(numbers)

    process = world.process(run)
    assert await process.start(attempt) == "complete"
    assert await process.rig.output(*KEY) == 4950
    assert sorted(await world.effects()) == sorted([str(n) for n in range(100)] * 2 * ROWS)
    assert most == 2


@pytest.mark.rule("engine-10", "engine-21")
async def test_each_branch_has_its_own_now_and_chance_on_every_replay(world: World) -> None:
    seen: list[list[object]] = []

    async def branch(seconds: int, ctx: WorkflowContext) -> list[object]:
        values: list[object] = [ctx.random.random(), str(ctx.uuid4()), ctx.now.isoformat()]
        await ctx.sleep("rest", timedelta(seconds=seconds))
        return [*values, ctx.random.random(), ctx.now.isoformat()]

    async def run(ctx: WorkflowContext) -> datetime:
        values = await ctx.parallel(partial(branch, 60), partial(branch, 60), partial(branch, 90))
        seen.append([*values, ctx.now])
        await ctx.sleep("night", timedelta(hours=1))
        seen.append([*values, ctx.now])
        return ctx.now

    begun = world.clock.now()
    process = world.process(run)
    assert await process.start() == "parked"
    assert (await world.status()).wake_at == begun + timedelta(seconds=60)
    assert await process.rig.advance(timedelta(seconds=60)) == ["parked"]
    assert (await world.status()).wake_at == begun + timedelta(seconds=90)
    assert await process.rig.advance(timedelta(seconds=30)) == ["parked"]
    assert await process.rig.advance(timedelta(hours=1)) == ["complete"]
    # The run reached the end of its branches twice: at first, and in the replay after the night.
    first, replayed, last = seen
    assert first == replayed
    assert last[3] == begun + timedelta(seconds=90, hours=1)
    assert first[3] == begun + timedelta(seconds=90)
    assert len({str(values) for values in first[:3]}) == 3


@pytest.mark.rule("engine-10")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_what_a_branch_ends_with_is_journaled_though_it_commits_nothing_itself(
    world: World, attempt: int
) -> None:
    async def sleeper(ctx: WorkflowContext) -> str:
        await ctx.sleep("nap", timedelta(seconds=60))
        return "slept"

    async def listener(ctx: WorkflowContext) -> str:
        return (await ctx.wait_for_signal("word", Approved)).by

    async def patched(ctx: WorkflowContext) -> str:
        return "patched" if ctx.patched("new") else "old"

    async def run(ctx: WorkflowContext) -> list[str]:
        results = await ctx.parallel(sleeper, listener, patched)
        await ctx.sleep("night", timedelta(hours=1))
        return list(results)

    process = world.process(run)
    await process.rig.signal(*KEY, Approved(by="early"))
    assert await process.start(attempt) == "parked"
    assert await process.rig.advance(timedelta(seconds=60)) == ["parked"]
    assert await process.rig.advance(timedelta(hours=1)) == ["complete"]
    assert await process.rig.output(*KEY) == ["slept", "early", "patched"]


@pytest.mark.rule("engine-10")
async def test_settle_runs_each_branch_to_its_end_and_returns_errors_in_place(
    world: World,
) -> None:
    async def run(ctx: WorkflowContext) -> list[str]:
        found = await ctx.settle(
            lambda b: b.step("refuse", refuse, "refused"), leaving("a", "b"), leaving("c")
        )
        await ctx.sleep("night", timedelta(hours=1))
        return [str(each) for each in found]

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.advance(timedelta(hours=1)) == ["complete"]
    assert await process.rig.output(*KEY) == ["refuse: refused", "b", "c"]
    assert sorted(await world.effects()) == ["a", "b", "c"]


@pytest.mark.rule("engine-10")
async def test_branches_that_wait_park_together_until_the_first_of_them_can_go_on(
    world: World,
) -> None:
    tries = 0

    async def fail_once(step: Step) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("once")
        return await leave_row(step, "retried")

    async def sleeper(ctx: WorkflowContext) -> str:
        await ctx.sleep("nap", timedelta(seconds=60))
        return await leaving("slept")(ctx)

    async def listener(ctx: WorkflowContext) -> str:
        signal = await ctx.wait_for_signal("word", Approved)
        return await leaving(signal.by)(ctx)

    async def run(ctx: WorkflowContext) -> list[str]:
        patient = ctx.options(retry=Retry(delay=timedelta(seconds=30)))
        return list(await patient.parallel(lambda b: b.step("shaky", fail_once), sleeper, listener))

    begun = world.clock.now()
    process = world.process(run)
    assert await process.start() == "parked"
    assert (await world.status()).wake_at == begun + timedelta(seconds=30)
    assert await process.rig.advance(timedelta(seconds=30)) == ["parked"]
    assert (await world.status()).wake_at == begun + timedelta(seconds=60)
    assert await process.rig.advance(timedelta(seconds=30)) == ["parked"]
    assert (await world.status()).wake_at is None
    assert await process.rig.signal(*KEY, Approved(by="heard")) == "complete"
    assert await world.effects() == ["retried", "slept", "heard"]
    assert await process.rig.output(*KEY) == ["retried", "slept", "heard"]


@pytest.mark.rule("engine-10")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_branches_within_branches_keep_their_paths(world: World, attempt: int) -> None:
    async def inner(ctx: WorkflowContext) -> list[str]:
        found = await ctx.parallel(leaving("x", "y"), leaving("z"))
        await ctx.sleep("nap", timedelta(seconds=60))
        return [*found, await leaving("w")(ctx)]

    async def run(ctx: WorkflowContext) -> list[list[str]]:
        found = await ctx.parallel(inner, inner)
        await ctx.step("end", leave_row, "end")
        return list(found)

    process = world.process(run)
    assert await process.start(attempt) == "parked"
    assert await process.rig.advance(timedelta(seconds=60)) == ["complete"]
    assert await process.rig.output(*KEY) == [["y", "z", "w"]] * 2
    assert sorted(await world.effects()) == sorted(["x", "y", "z", "w"] * 2 + ["end"])


@pytest.mark.rule("engine-10")
async def test_no_branch_at_all_is_done_at_once(world: World) -> None:
    async def run(ctx: WorkflowContext) -> list[str]:
        return list(await ctx.parallel(*[leaving(name) for name in list[str]()]))

    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == []
