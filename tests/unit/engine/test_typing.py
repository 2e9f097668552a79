"""What the type checkers must refuse and see; `make check` runs them over this file.

Each `type: ignore` names the error that must be there: one that is not there is an error itself.
"""

from __future__ import annotations

from typing import assert_type

from shared.testing.journeys import Approved
from shared.workflow.call import NOT_FOUND, UNKNOWN, Call, NotFound, Unknown
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import StepFailed
from shared.workflow.step import SKIPPED, Skipped, Step
from tests.unit.engine.test_run import StartOdd, rig_of


async def double(step: Step, number: int) -> int:
    return 2 * number


async def perhaps(step: Step, number: int) -> int | Skipped:
    return number or SKIPPED


async def send(call: Call, to: str) -> int:
    return len(to)


async def look_up(call: Call, to: str) -> int | NotFound:
    return len(to) or NOT_FOUND


async def cannot_tell(call: Call, to: str) -> Unknown:
    return UNKNOWN


async def take_back(call: Call, result: int | None) -> None: ...


async def undo(step: Step, result: int) -> None: ...


async def undo_text(step: Step, result: str) -> None: ...


async def take_back_certain(call: Call, result: int) -> None: ...


async def branch(ctx: WorkflowContext) -> str:
    return "branch"


async def counting(ctx: WorkflowContext) -> int:
    return await ctx.step("f", double, 1)


async def well_typed(ctx: WorkflowContext) -> None:
    assert_type(await ctx.step("a", double, 1, compensate=undo), int)
    assert_type(await ctx.step("b", perhaps, 1), int | Skipped)
    assert_type(await ctx.call("c", send, "x", verify=look_up, compensate=take_back), int)
    assert_type(await ctx.call("d", send, "x", verify=cannot_tell), int)
    assert_type(await ctx.wait_for_signal("e", Approved), Approved)
    both = await ctx.parallel(branch, counting)
    assert_type(both, tuple[str, int])
    settled = await ctx.settle(branch, branch)
    assert_type(settled, tuple[str | Exception, str | Exception])
    assert_type(await ctx.parallel(*[branch for _ in range(9)]), tuple[str, ...])


async def ill_typed(ctx: WorkflowContext) -> None:
    await ctx.step("a", double, "1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.step("a", double)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.step("a", double, 1, 2)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.step("a", send, "x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.step("a", double, 1, compensate=undo_text)  # type: ignore[misc] # pyright: ignore[reportArgumentType]
    await ctx.call("a", send, 1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.call("a", double, 1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.call("a", send, "x", compensate=take_back_certain)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.call("a", send, "x", compensate=undo)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.wait_for_signal("a", StartOdd)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]


async def test_what_is_well_typed_runs_as_it_is_typed() -> None:
    async def run(ctx: WorkflowContext) -> str:
        first = await ctx.step("a", double, 1, compensate=undo)
        second = await ctx.call("b", send, "x", verify=look_up, compensate=take_back)
        text, third = await ctx.parallel(branch, lambda b: b.step("c", double, 3))
        try:
            await ctx.step("d", perhaps, 0)
        except StepFailed:
            return "never"
        return f"{first + second + third} {text.upper()}"

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "complete"
    assert await rig.output("odd", "one") == "9 BRANCH"
