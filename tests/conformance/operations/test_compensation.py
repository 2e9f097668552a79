"""Compensation: what began last is undone first, each once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.messages.workflows import Action, Status
from shared.testing.faults import Cut, Faults
from shared.testing.journeys import leave_row, unpack
from shared.workflow.call import UNKNOWN, Call, Unknown
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.options import Retry
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, Run, World


async def refuse(step: Step) -> str:
    raise NonRetryableError("refused")


def saga(world: World) -> Run:
    """Steps and a call, two of them side by side; then it fails."""

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.call("ticket", world.outside.carry_out, "t", compensate=world.outside.undo)
        await ctx.parallel(
            lambda b: b.step("b", leave_row, "b", compensate=unpack),
            lambda b: b.step("c", leave_row, "c", compensate=unpack),
        )
        await ctx.step("not undone", leave_row, "d")
        await ctx.step("refuse", refuse)

    return run


UNDONE = ["undo c", "undo b", "undo a"]


def undone(effects: list[str]) -> list[str]:
    return [each for each in effects if each.startswith("undo")]


@pytest.mark.rule("engine-19")
async def test_a_final_failure_undoes_what_began_last_first(world: World) -> None:
    seen: list[tuple[Status, str | None, list[str]]] = []

    async def undo(call: Call, result: str | None) -> None:
        status = await world.status()
        # Committed before the first of them: the phase, and why.
        assert status.error is not None
        seen.append((status.status, status.error.name, undone(await world.effects())))
        await world.outside.undo(call, result)

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.call("ticket", world.outside.carry_out, "t", compensate=undo)
        await ctx.step("b", leave_row, "b", compensate=unpack)
        await ctx.step("refuse", refuse)

    assert await world.process(run).start() == "errored"
    assert seen == [(Status.RUNNING, "refused", ["undo b"])]
    status = await world.status()
    assert undone(await world.effects()) == ["undo b", "undo a"]
    assert (status.status, status.rollback) == (Status.ERRORED, "complete")
    assert status.error is not None
    assert status.error.name == "refused"
    shown = [(step.name, step.status) for step in status.steps if step.type == "compensation"]
    assert shown == [("b", "complete"), ("ticket", "complete"), ("a", "complete")]


@pytest.mark.rule("engine-19")
async def test_none_is_skipped_or_doubled_wherever_the_process_dies(world: World) -> None:
    async def attempt(faults: Faults) -> None:
        process = world.process(saga(world), faults=faults)
        await process.start(2)

    whole = Faults()
    await attempt(whole)
    assert undone(await world.effects()) == UNDONE
    assert list(world.outside.undone.values()) == [1]
    for point in range(len(whole.passed)):
        await world.forget()
        faults = Faults(point)
        with suppress(Cut):
            await attempt(faults)
        assert faults.reached.is_set()
        await world.pass_seconds(LOST_SECONDS)
        await attempt(Faults())
        effects, status = await world.effects(), await world.status()
        # A branch that was cut off before it committed anything has begun anew, after the other.
        began = [step.name for step in status.steps if step.name in {"a", "b", "c"}][:3]
        assert undone(effects) == [f"undo {name}" for name in began[::-1]], whole.passed[point]
        assert sorted(effects) == sorted([*UNDONE, "a", "b", "c", "d"])
        assert set(world.outside.carried_out.values()) == {1}
        assert (status.status, status.rollback) == (Status.ERRORED, "complete")


@pytest.mark.rule("engine-19")
async def test_a_compensation_is_retried_on_its_own(world: World) -> None:
    tries = 0

    async def shaky(step: Step, name: str) -> None:
        nonlocal tries
        tries += 1
        await unpack(step, name)
        if tries < 3:
            raise RuntimeError("not yet")

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        patient = ctx.options(retry=Retry(delay=timedelta(seconds=60), backoff="constant"))
        await patient.step("b", leave_row, "b", compensate=shaky)
        await ctx.step("c", leave_row, "c", compensate=unpack)
        await ctx.step("refuse", refuse)

    process = world.process(run)
    assert await process.start() == "parked"
    assert undone(await world.effects()) == ["undo c"]
    assert await process.rig.advance(timedelta(seconds=60)) == ["parked"]
    assert await process.rig.advance(timedelta(seconds=60)) == ["errored"]
    assert undone(await world.effects()) == ["undo c", "undo b", "undo a"]
    assert tries == 3


@pytest.mark.rule("engine-19")
@pytest.mark.parametrize("terminated", [True, False])
async def test_one_that_fails_for_good_is_named_and_the_others_still_run(
    world: World, terminated: bool
) -> None:
    async def hopeless(step: Step, name: str) -> None:
        await unpack(step, name)
        raise NonRetryableError("gone", "it cannot be undone")

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.step("b", leave_row, "b", compensate=hopeless)
        await ctx.step("c", leave_row, "c", compensate=unpack)
        if terminated:
            await ctx.sleep("night", timedelta(hours=1))
        await ctx.step("refuse", refuse)

    process = world.process(run)
    outcome = await process.start()
    if terminated:
        outcome = await process.rig.control(*KEY, Action.TERMINATE, rollback=True)
    assert outcome == "errored"
    assert undone(await world.effects()) == ["undo c", "undo a"]
    status = await world.status()
    assert (status.status, status.rollback) == (Status.ERRORED, "failed")
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("gone", "b")


@pytest.mark.rule("engine-19")
async def test_terminate_undoes_only_when_it_is_asked_to(world: World) -> None:
    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.step("b", leave_row, "b", compensate=unpack)
        await ctx.sleep("night", timedelta(hours=1))
        await ctx.step("after", leave_row, "after")

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.control(*KEY, Action.TERMINATE, rollback=True) == "terminated"
    assert await world.effects() == ["a", "b", "undo b", "undo a"]
    status = await world.status()
    assert (status.status, status.rollback, status.error) == (
        Status.TERMINATED,
        "complete",
        None,
    )

    await world.forget()
    assert await process.start() == "parked"
    assert await process.rig.control(*KEY, Action.TERMINATE) == "terminated"
    assert await world.effects() == ["a", "b"]
    assert (await world.status()).rollback is None


@pytest.mark.rule("engine-19")
async def test_a_failure_that_the_run_catches_undoes_nothing(world: World) -> None:
    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        try:
            await ctx.step("refuse", refuse)
        except StepFailed:
            return await ctx.step("instead", leave_row, "instead")
        return "never"

    assert await world.process(run).start() == "complete"
    assert await world.effects() == ["a", "instead"]
    assert (await world.status()).rollback is None


@pytest.mark.rule("engine-18", "engine-19")
@pytest.mark.parametrize("how", ["lost", "unknown", "retrying", "too large"])
async def test_what_may_have_been_done_is_undone_without_a_result(world: World, how: str) -> None:
    given: list[str | None] = []
    tried = asyncio.Event()

    async def undo(call: Call, result: str | None) -> None:
        given.append(result)

    async def send(call: Call) -> str:
        tried.set()
        if how == "too large":
            return "x" * 2**20
        raise TimeoutError

    async def look_up(call: Call) -> str | Unknown:
        return UNKNOWN

    async def caller(ctx: WorkflowContext) -> str:
        attempts = 2 if how == "retrying" else 1
        ctx = ctx.options(retry=Retry(max_attempts=attempts, delay=timedelta(hours=1)))
        verify = look_up if how == "unknown" else None
        return await ctx.call("t", send, verify=verify, compensate=undo)

    async def fail_after(step: Step) -> str:
        await tried.wait()
        return await refuse(step)

    async def run(ctx: WorkflowContext) -> None:
        if how == "retrying":
            # Its next attempt never comes, since the other branch has failed.
            await ctx.parallel(caller, lambda b: b.step("refuse", fail_after))
        await caller(ctx)

    assert await world.process(run).start() == "errored"
    assert given == [None]
    assert (await world.status()).rollback == "complete"


@pytest.mark.rule("engine-18", "engine-19")
async def test_what_was_certainly_not_done_is_not_undone(world: World) -> None:
    async def decline(_: Call) -> None:
        raise NonRetryableError("card_declined")

    world.outside.before = decline

    async def run(ctx: WorkflowContext) -> None:
        await ctx.call("ticket", world.outside.carry_out, "t", compensate=world.outside.undo)

    assert await world.process(run).start() == "errored"
    assert world.outside.undone.total() == 0
    assert (await world.status()).rollback is None


@pytest.mark.rule("engine-14", "engine-19")
async def test_a_pause_between_compensations_holds_the_rest_until_a_resume(
    world: World,
) -> None:
    async def pausing(step: Step, name: str) -> None:
        await unpack(step, name)
        assert await other.rig.control(*KEY, Action.PAUSE) in {"leased", "busy"}

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", leave_row, "a", compensate=unpack)
        await ctx.step("b", leave_row, "b", compensate=pausing)
        await ctx.step("refuse", refuse)

    other = world.process(run)
    process = world.process(run)
    assert await process.start() == "paused"
    assert undone(await world.effects()) == ["undo b"]
    assert await other.rig.control(*KEY, Action.RESUME) == "errored"
    assert undone(await world.effects()) == ["undo b", "undo a"]
    assert (await world.status()).rollback == "complete"
