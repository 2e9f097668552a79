"""Nothing of a run acts after its end, and what would is an error that says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.messages.workflows import Action, Status
from shared.testing.journeys import leave_row
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import StepFailed, Transient
from shared.workflow.options import Retry
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, World

Ending = Callable[[WorkflowContext], Awaitable[object]]


async def error_of(world: World) -> tuple[str, str]:
    error = (await world.status()).error
    return ("", "") if error is None else (error.name, error.message)


@pytest.mark.rule("engine-20")
@pytest.mark.parametrize("how", ["except", "finally"])
async def test_neither_except_nor_finally_acts_after_a_park(world: World, how: str) -> None:
    async def run(ctx: WorkflowContext) -> None:
        try:
            await ctx.sleep("night", timedelta(hours=1))
        except Exception:  # noqa: BLE001 - what a workflow may well have
            await ctx.step("after", leave_row, "except")
        finally:
            if how == "finally":
                await ctx.step("after", leave_row, "finally")

    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.control(*KEY, Action.TERMINATE) == "terminated"
    assert await world.effects() == []


@pytest.mark.rule("engine-20")
async def test_a_terminate_at_a_boundary_lets_no_handler_act(world: World) -> None:
    async def run(ctx: WorkflowContext) -> None:
        try:
            await ctx.step("a", terminate)
            await ctx.step("b", leave_row, "b")
        except BaseException:
            await ctx.step("undo by hand", leave_row, "by hand")
            raise

    async def terminate(step: Step) -> None:
        assert await other.rig.control(*KEY, Action.TERMINATE) in {"leased", "busy"}

    other = world.process(run)
    assert await world.process(run).start(2) == "terminated"
    assert await world.effects() == []


@pytest.mark.rule("engine-3", "engine-20")
async def test_a_lost_claim_lets_no_handler_act(world: World) -> None:
    async def run(ctx: WorkflowContext) -> str:
        try:
            await ctx.step("a", leave_row, "a")
            if not taken_over:
                taken_over.append(1)
                await world.pass_seconds(100)
                assert await other.wake() == "complete"
            return await ctx.step("b", leave_row, "b")
        except BaseException:
            await ctx.step("handler", leave_row, "handler")
            raise

    taken_over: list[int] = []
    other = world.process(run)
    assert await world.process(run).start(2) == "lost_claim"
    assert await world.effects() == ["a", "b"]
    assert (await world.status()).status is Status.COMPLETE


@pytest.mark.rule("engine-20")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_begun_but_not_awaited_cannot_act_after_the_run_has_returned(
    world: World, attempt: int
) -> None:
    tasks: list[asyncio.Task[str]] = []

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("a", leave_row, "a")
        tasks.append(asyncio.create_task(ctx.step("late", leave_row, "late")))
        return "done"

    assert await world.process(run).start(attempt) == "complete"
    [outcome] = await asyncio.gather(*tasks, return_exceptions=True)
    assert "after the code that it was given to had ended" in str(outcome)
    assert await world.effects() == ["a"]
    assert (await world.status()).status is Status.COMPLETE


@pytest.mark.rule("engine-10", "engine-20")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_that_still_runs_when_the_run_returns_is_ended_and_named(
    world: World, attempt: int
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def hang(step: Step) -> None:
        await leave_row(step, "half")
        await asyncio.Event().wait()

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("a", leave_row, "a")
        tasks.append(asyncio.create_task(ctx.step("left", hang)))
        await asyncio.sleep(0)
        return "done"

    assert await world.process(run).start(attempt) == "errored"
    assert await error_of(world) == (
        "WorkflowMisuse",
        "'left' was still running when its code ended: await it",
    )
    assert await world.effects() == ["a"]
    assert all(task.done() for task in tasks)


@pytest.mark.rule("engine-10")
async def test_two_operations_at_once_end_the_run_even_where_it_catches_the_error(
    world: World,
) -> None:
    async def run(ctx: WorkflowContext) -> str:
        await asyncio.gather(
            ctx.step("a", slow),
            ctx.step("b", leave_row, "b"),
            return_exceptions=True,
        )
        # On a replay `a` would take no time, and `b` would not be refused.
        return "went on"

    async def slow(step: Step) -> None:
        await asyncio.sleep(0)

    assert await world.process(run).start(2) == "errored"
    name, message = await error_of(world)
    assert name == "WorkflowMisuse"
    assert message.startswith("'b' started while 'a' was running on the same context")
    assert "b" not in await world.effects()


@pytest.mark.rule("engine-10")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_branch_that_uses_the_context_around_it_is_told(world: World, attempt: int) -> None:
    async def run(ctx: WorkflowContext) -> list[object]:
        return list(
            await ctx.settle(
                lambda _: ctx.step("a", leave_row, "a"), lambda b: b.step("b", leave_row, "b")
            )
        )

    assert await world.process(run).start(attempt) == "errored"
    name, message = await error_of(world)
    assert name == "WorkflowMisuse"
    assert message.startswith("'a' started while 'settle' was running on the same context")
    assert "a" not in await world.effects()


@pytest.mark.rule("engine-10")
async def test_two_operations_at_once_inside_a_branch_are_refused_too(world: World) -> None:
    async def hasty(ctx: WorkflowContext) -> list[str]:
        return list(await asyncio.gather(ctx.step("x", hang), ctx.step("y", leave_row, "y")))

    async def hang(step: Step) -> str:
        await leave_row(step, "half")
        await asyncio.Event().wait()
        return "never"

    async def run(ctx: WorkflowContext) -> None:
        await ctx.parallel(hasty, lambda b: b.step("z", leave_row, "z"))

    assert await world.process(run).start() == "errored"
    name, message = await error_of(world)
    assert name == "WorkflowMisuse"
    assert message.startswith("'y' started while 'x' was running")
    assert not {"half", "y"} & set(await world.effects())


@pytest.mark.rule("engine-10", "engine-20")
async def test_the_context_of_a_branch_ends_with_it(world: World) -> None:
    kept: list[WorkflowContext] = []

    async def leak(ctx: WorkflowContext) -> str:
        kept.append(ctx)
        return await ctx.step("a", leave_row, "a")

    async def run(ctx: WorkflowContext) -> str:
        await ctx.parallel(leak)
        return await kept[-1].step("later", leave_row, "later")

    assert await world.process(run).start() == "errored"
    name, message = await error_of(world)
    assert name == "WorkflowMisuse"
    assert "after the code that it was given to had ended" in message
    assert await world.effects() == ["a"]


@pytest.mark.rule("engine-10", "engine-20")
async def test_what_a_branch_left_running_cannot_act_after_the_run_was_dropped(
    world: World,
) -> None:
    begun, dropped = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[str]] = []

    async def late(step: Step) -> str:
        begun.set()
        await dropped.wait()
        return await leave_row(step, "late")

    async def careless(ctx: WorkflowContext) -> str:
        once = ctx.options(retry=Retry(max_attempts=1))
        tasks.append(asyncio.create_task(once.step("late", late)))
        await asyncio.Event().wait()
        return "never"

    async def trouble(step: Step) -> str:
        await begun.wait()
        raise Transient("the database went away")

    async def run(ctx: WorkflowContext) -> None:
        await ctx.parallel(careless, lambda b: b.step("trouble", trouble))

    assert await world.process(run).start() == "dropped"
    dropped.set()
    [outcome] = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcome, BaseException)
    assert await world.effects() == []
    status = await world.status()
    assert [step.name for step in status.steps if step.type == "step"] == []


@pytest.mark.rule("engine-8", "engine-10")
@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_step_that_uses_its_context_fails_and_half_of_it_is_not_committed(
    world: World, attempt: int
) -> None:
    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("a", leave_row, "a")

        async def nested(step: Step) -> str:
            await leave_row(step, "half")
            return await ctx.step("inner", leave_row, "inner")

        try:
            await ctx.step("outer", nested)
        except StepFailed:
            return await ctx.step("b", leave_row, "b")
        return "never"

    assert await world.process(run).start(attempt) == "complete"
    assert await world.effects() == ["a", "b"]
    outer = (await world.status()).steps[1]
    assert (outer.status, outer.attempts) == ("failed", 1)
    assert outer.error is not None
    assert outer.error.message.startswith("'inner' started while 'outer' was running")
