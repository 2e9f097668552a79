"""Limits of size and of time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import Status
from shared.testing.journeys import Approved, leave_row
from shared.testing.samples import StepDone
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import OutcomeUnknown, StepFailed
from shared.workflow.options import Retry
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, World

LARGEST = "x" * (MAX_CONTENT_BYTES - 2)
"""With its quotes as large as a result may be."""


async def give(step: Step, text: str) -> str:
    await leave_row(step, "given")
    return text


@pytest.mark.rule("engine-30")
async def test_the_largest_results_signal_and_output_pass(world: World) -> None:
    async def answer(call: Call) -> str:
        return LARGEST

    async def run(ctx: WorkflowContext) -> str:
        first = await ctx.step("step", give, LARGEST)
        second = await ctx.call("call", answer)
        third = (await ctx.wait_for_signal("signal", Approved)).by
        assert first == second == LARGEST
        assert len(third) > MAX_CONTENT_BYTES - 100
        return first

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.signal(*KEY, Approved(by="y" * (MAX_CONTENT_BYTES - 50))) == "complete"
    status = await world.status()
    assert (status.status, status.output_omitted) == (Status.COMPLETE, True)
    assert bytes(status.output) == b"null"


@pytest.mark.rule("engine-30")
async def test_a_result_over_the_limit_fails_a_step_and_leaves_nothing_of_it(
    world: World,
) -> None:
    async def run(ctx: WorkflowContext) -> str:
        try:
            return await ctx.step("large", give, LARGEST + "x")
        except StepFailed as failure:
            return failure.name

    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "result_too_large"
    assert await world.effects() == []
    assert (await world.status()).steps[0].attempts == 1


@pytest.mark.rule("engine-18", "engine-30")
async def test_a_call_whose_answer_is_over_the_limit_was_carried_out_all_the_same(
    world: World,
) -> None:
    sent: list[str] = []

    async def answer(call: Call) -> str:
        sent.append(call.idempotency_key)
        return LARGEST + "x"

    async def run(ctx: WorkflowContext) -> str:
        try:
            return await ctx.call("large", answer)
        except OutcomeUnknown as unknown:
            return unknown.name

    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "result_too_large"
    assert len(sent) == 1


@pytest.mark.rule("engine-30")
async def test_an_event_over_the_limit_fails_its_step_and_leaves_nothing_of_it(
    world: World,
) -> None:
    async def tell(step: Step) -> None:
        await leave_row(step, "told")
        step.publish(StepDone(step=LARGEST))

    async def run(ctx: WorkflowContext) -> str:
        try:
            await ctx.step("tell", tell)
        except StepFailed as failure:
            return failure.name
        return "told"

    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "event_too_large"
    assert await world.effects() == []
    assert await world.store.unsent(KEY) == []


@pytest.mark.rule("engine-27", "engine-30")
async def test_a_signal_over_the_limit_goes_to_the_dead_letters(world: World) -> None:
    async def run(ctx: WorkflowContext) -> str:
        return (await ctx.wait_for_signal("signal", Approved)).by

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.signal(*KEY, Approved(by=LARGEST)) == "undecodable"
    assert await world.letters() == [("workflows.free.signal.one", "undecodable")]
    assert await process.rig.signal(*KEY, Approved(by="short")) == "complete"


@pytest.mark.rule("engine-30")
async def test_an_output_over_the_limit_ends_the_instance_errored(world: World) -> None:
    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("before", leave_row, "before")
        return LARGEST + "x"

    assert await world.process(run).start() == "errored"
    status = await world.status()
    assert status.error is not None
    assert status.error.name == "result_too_large"
    assert await world.effects() == ["before"]


@pytest.mark.rule("engine-7")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_over_its_time_leaves_nothing_and_is_tried_again(
    world: World, attempt: int
) -> None:
    tries = 0

    async def slow_once(step: Step) -> str:
        nonlocal tries
        tries += 1
        await leave_row(step, f"try {tries}")
        if tries == 1:
            await asyncio.Event().wait()
        return "done"

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("before", leave_row, "before")
        hasty = ctx.options(timeout=timedelta(milliseconds=200), retry=Retry())
        return await hasty.step("slow", slow_once)

    process = world.process(run)
    assert await process.start(attempt) == "parked"
    waiting = (await world.status()).steps[1]
    assert (waiting.status, waiting.error and waiting.error.name) == ("retrying", "StepTimeout")
    assert await process.rig.advance(timedelta(seconds=1)) == ["complete"]
    assert await world.effects() == ["before", "try 2"]


@pytest.mark.rule("engine-6")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_that_may_take_longer_than_a_lease_is_not_cut_off(
    world: World, attempt: int
) -> None:
    outcomes: list[str] = []

    async def long(step: Step) -> str:
        await leave_row(step, "long")
        await world.pass_seconds(60)
        # Its open transaction is its lease.
        outcomes.append(await other.wake())
        return "done"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.options(timeout=timedelta(minutes=5)).step("long", long)

    short = EngineSettings(lease_seconds=1)
    other = world.process(run, settings=short)
    assert await world.process(run, settings=short).start(attempt) == "complete"
    assert outcomes == ["busy" if attempt == 2 else "absent"]
    assert await world.effects() == ["long"]
