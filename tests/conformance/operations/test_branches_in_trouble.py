"""Branches of which one fails, is paused or is lost, and what becomes of the others."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.messages.workflows import Action, Status
from shared.testing.faults import Cut, Faults
from shared.testing.journeys import leave_row
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed, Transient
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, World
from tests.conformance.operations.steps import Branch, leaving, refuse


@pytest.mark.rule("engine-10")
async def test_a_failure_starts_nothing_more_and_lets_calls_in_flight_finish(
    world: World,
) -> None:
    failed = asyncio.Event()

    async def hold(_: Call) -> None:
        await failed.wait()

    async def caller(ctx: WorkflowContext) -> str:
        ticket = await ctx.call("ticket", world.outside.carry_out, "t")
        return await ctx.step("after call", leave_row, ticket)

    async def failing(ctx: WorkflowContext) -> str:
        try:
            return await ctx.step("refuse", refuse, "refused")
        finally:
            asyncio.get_running_loop().call_soon(failed.set)

    async def run(ctx: WorkflowContext) -> str:
        try:
            await ctx.parallel(caller, failing)
        except StepFailed as failure:
            return failure.name
        return "nothing failed"

    world.outside.before = hold
    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "refused"
    assert await world.effects() == []
    assert [(step.name, step.status) for step in (await world.status()).steps] == [
        ("parallel", "failed"),
        ("ticket", "complete"),
        ("refuse", "failed"),
    ]


@pytest.mark.rule("engine-10", "engine-18")
async def test_a_failure_waits_for_a_call_whose_outcome_nobody_knows_yet(world: World) -> None:
    async def die(_: Call) -> None:
        raise ConnectionError

    async def caller(ctx: WorkflowContext) -> str:
        return await ctx.call(
            "ticket",
            world.outside.carry_out,
            "t",
            verify=world.outside.look_up,
            compensate=world.outside.undo,
        )

    async def run(ctx: WorkflowContext) -> None:
        await ctx.parallel(caller, lambda b: b.step("refuse", refuse, "refused"))

    # Carried out, but only after the look-up has met nothing.
    world.outside.before = die
    process = world.process(run)
    assert await process.start() == "parked"
    assert (await world.status()).status is Status.RUNNING
    [key] = world.outside.asked
    world.outside.carried_out[key] += 1
    await world.pass_seconds(LOST_SECONDS)
    assert await process.rig.advance(timedelta()) == ["errored"]
    status = await world.status()
    assert status.error is not None
    assert status.error.name == "refused"
    assert status.rollback == "complete"
    assert len(world.outside.undone) == 1


@pytest.mark.rule("engine-10", "engine-14")
async def test_a_pause_waits_for_a_call_on_a_branch_and_asks_the_world_no_more(
    world: World,
) -> None:
    paused = asyncio.Event()

    async def pause_and_fail(call: Call) -> None:
        if call.attempt == 1:
            assert await other.rig.control(*KEY, Action.PAUSE) in {"leased", "busy"}
            paused.set()
            raise ConnectionError

    async def caller(ctx: WorkflowContext) -> str:
        return await ctx.call("t", world.outside.carry_out, "t", verify=world.outside.look_up)

    async def stepper(ctx: WorkflowContext) -> str:
        await paused.wait()
        await ctx.step("before", leave_row, "before")
        return await ctx.step("after", leave_row, "after")

    async def run(ctx: WorkflowContext) -> list[str]:
        return list(await ctx.parallel(caller, stepper))

    world.outside.before = pause_and_fail
    other, process = world.process(run), world.process(run)
    async with asyncio.timeout(10):
        # The other branch has met the control; that is no reason to run until the call is over.
        assert await process.start() == "parked"
    assert list(world.outside.asked.values()) == [1]
    await world.pass_seconds(LOST_SECONDS)
    assert await process.rig.advance(timedelta()) == ["paused"]
    assert list(world.outside.carried_out.values()) == [1]
    assert "after" not in await world.effects()
    assert await other.rig.control(*KEY, Action.RESUME) == "complete"
    assert await world.effects() == ["before", "after"]


@pytest.mark.rule("engine-10")
async def test_the_first_failure_is_the_first_on_every_replay(world: World) -> None:
    second_failed = asyncio.Event()

    async def late(ctx: WorkflowContext) -> str:
        async def wait_and_refuse(step: Step) -> str:
            await second_failed.wait()
            raise NonRetryableError("late")

        return await ctx.step("late", wait_and_refuse)

    async def early(ctx: WorkflowContext) -> str:
        try:
            return await ctx.step("early", refuse, "early")
        finally:
            second_failed.set()

    async def run(ctx: WorkflowContext) -> str:
        try:
            await ctx.parallel(late, early)
        except StepFailed as failure:
            await ctx.sleep("night", timedelta(hours=1))
            return failure.step
        return "nothing failed"

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.advance(timedelta(hours=1)) == ["complete"]
    assert await process.rig.output(*KEY) == "early"
    assert [step.status for step in (await world.status()).steps[:3]] == ["failed"] * 3


@pytest.mark.rule("engine-10", "engine-22")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_patch_before_branches_under_way_does_not_begin_them_anew(
    world: World, attempt: int
) -> None:
    patched = False
    committed = asyncio.Event()

    async def first(ctx: WorkflowContext) -> str:
        name = await leaving("a")(ctx)
        committed.set()
        return name

    async def die(step: Step) -> str:
        await committed.wait()
        raise Cut

    async def run(ctx: WorkflowContext) -> list[str]:
        if patched:
            ctx.patched("before the branches")
        second: Branch = leaving("b") if patched else (lambda b: b.step("b", die))
        return list(await ctx.parallel(first, second))

    with pytest.raises(Cut):
        await world.process(run).start(attempt)
    await world.pass_seconds(LOST_SECONDS)
    patched = True
    assert await world.process(run).start(3) == "complete"
    assert sorted(await world.effects()) == ["a", "b"]


@pytest.mark.rule("engine-7", "engine-10")
async def test_trouble_in_one_branch_drops_the_run_and_doubles_nothing(world: World) -> None:
    troubles = [Transient("the database went away")]
    in_flight = asyncio.Event()

    async def shaky(step: Step) -> str:
        await in_flight.wait()
        await leave_row(step, "shaky")
        if troubles:
            raise troubles.pop()
        return "shaky"

    async def caller(ctx: WorkflowContext) -> str:
        await ctx.step("one", leave_row, "one")
        return await ctx.call("ticket", world.outside.carry_out, "t", verify=world.outside.look_up)

    async def hang(_: Call) -> None:
        if not in_flight.is_set():
            in_flight.set()
            await asyncio.Event().wait()

    async def run(ctx: WorkflowContext) -> list[str]:
        return list(await ctx.parallel(lambda b: b.step("shaky", shaky), caller))

    world.outside.before = hang
    process = world.process(run)
    assert await process.start() == "dropped"
    # The call that was cut off may still arrive: until then the instance is nobody else's.
    assert await world.process(run).start(2) == "leased"
    await world.pass_seconds(LOST_SECONDS)
    assert await process.start(3) == "complete"
    assert sorted(await world.effects()) == ["one", "shaky"]
    assert list(world.outside.carried_out.values()) == [1]
    shaken = [step for step in (await world.status()).steps if step.name == "shaky"]
    assert [step.attempts for step in shaken] == [1]


class Crowd(Faults):
    """Of three branches the first commits once the others have told their facts too, and the last
    is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Semaphore(0)
        self.held = asyncio.Event()
        self.told = asyncio.Semaphore(0)

    async def reach(self, point: str) -> None:
        await super().reach(point)
        commits = self.passed.count("before commit")
        if point == "before commit" and commits == 2:
            self.held.set()
            await twice(self.told)
        elif point == "before commit" and commits == 4:
            raise Cut


async def twice(semaphore: asyncio.Semaphore) -> None:
    await semaphore.acquire()
    await semaphore.acquire()


@pytest.mark.rule("engine-10", "engine-26")
async def test_a_branch_that_is_lost_before_its_commit_leaves_no_gap_in_the_numbers_of_facts(
    world: World,
) -> None:
    crowd = Crowd()

    async def early(step: Step, name: str) -> str:
        await twice(crowd.begun)
        return await leave_row(step, name)

    async def late(step: Step, name: str) -> str:
        crowd.begun.release()
        await crowd.held.wait()
        await leave_row(step, name)
        crowd.told.release()
        return name

    async def run(ctx: WorkflowContext) -> list[str]:
        return list(
            await ctx.parallel(
                lambda b: b.step("a", early, "a"),
                lambda b: b.step("b", late, "b"),
                lambda b: b.step("c", late, "c"),
            )
        )

    settings = EngineSettings(lease_seconds=20, segment_seconds=10, branch_connections=3)
    with pytest.raises(Cut):
        await world.process(run, faults=crowd, settings=settings).start()
    assert len(await world.effects()) == 2
    await world.pass_seconds(LOST_SECONDS)
    assert await world.process(run).start(3) == "complete"
    assert sorted(await world.effects()) == ["a", "b", "c"]
    loaded = await world.store.load(KEY)
    assert loaded is not None
    assert loaded[0].event_sequence == 3
