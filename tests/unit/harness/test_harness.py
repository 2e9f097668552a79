"""What the harness tells its author, and that its sweep finds mistakes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.messages.workflows import Trigger
from shared.testing.harness import Harness, OpenHarness
from shared.testing.outside import OutsideWorld
from shared.testing.samples import SampleWorkflow, StartSample
from shared.testing.sweep import at_every_point
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.registry import Registration, register
from shared.workflow.step import Step


class StartOdd(Trigger, frozen=True, kw_only=True):
    kind = "odd"
    service = "odd"


class Odd:
    """A workflow whose `run` is the test's."""

    kind = "odd"

    def __init__(self, run: Any):
        self._run = run

    async def run(self, ctx: WorkflowContext, start: StartOdd) -> Any:
        return await self._run(ctx)


def odd(run: Any) -> list[Registration]:
    return [register(StartOdd, Odd(run))]


SAMPLES = [register(StartSample, SampleWorkflow())]


async def test_a_handle_says_where_its_instance_stands() -> None:
    async with Harness.in_memory(SAMPLES) as harness:
        harness.fail("step_1", times=1)
        one = await harness.start(StartSample(id="one", steps=3, sleep_seconds=60))
        assert repr(one) == (
            "<sample.one: waiting until 2026-03-02 12:00:10; step_0 complete, "
            "step_1 retrying (RuntimeError: step_1 was told to fail)>"
        )
        with pytest.raises(AssertionError, match=r"no output: <sample\.one: waiting until"):
            _ = one.output
        with pytest.raises(AssertionError, match=r"no error: <sample\.one: waiting until"):
            _ = one.error
        with pytest.raises(AssertionError, match=r"no operation 'step_9' has begun: <sample\.one"):
            one.step("step_9")


async def test_what_memory_does_not_have_is_said_with_the_remedy() -> None:
    async with Harness.in_memory(SAMPLES) as harness:
        with pytest.raises(AssertionError, match="there are no tables: look at"):
            await harness.rows("SELECT 1")
        with pytest.raises(ValueError, match="'odd' is not registered; there are: sample"):
            await harness.start(StartOdd())
        with pytest.raises(ValueError, match="time only goes forward"):
            await harness.advance(days=-1)


async def test_what_never_comes_to_rest_is_named() -> None:
    world = OutsideWorld[str]()
    world.lose_requests()

    async def run(ctx: WorkflowContext) -> str:
        slow = ctx.options(timeout=timedelta(days=1))
        return await slow.call("ask", world.carry_out, "answer", verify=world.look_up)

    async with Harness.in_memory(odd(run)) as harness:
        with pytest.raises(AssertionError, match="never comes to rest: after 100 minutes"):
            await harness.start(StartOdd())


async def test_the_sweep_finds_an_effect_outside_its_transaction() -> None:
    async def scenario(open_harness: OpenHarness) -> None:
        given: list[str] = []

        async def give(step: Step) -> None:
            given.append("coins")

        async def run(ctx: WorkflowContext) -> None:
            await ctx.step("give", give)

        async with open_harness(odd(run)) as harness:
            await harness.start(StartOdd())
            assert given == ["coins"]

    with pytest.raises(AssertionError) as found:
        await at_every_point(Harness.in_memory, scenario)
    assert found.value.__notes__ == ["with the process cut off at point 0, 'before commit'"]


async def test_the_sweep_finds_a_call_without_its_key() -> None:
    async def scenario(open_harness: OpenHarness) -> None:
        charged: list[int] = []

        async def charge(call: Call) -> int:
            charged.append(1)
            return 1

        async def run(ctx: WorkflowContext) -> None:
            await ctx.call("charge", charge)

        async with open_harness(odd(run)) as harness:
            await harness.start(StartOdd())
            assert sum(charged) == 1

    with pytest.raises(AssertionError) as found:
        await at_every_point(Harness.in_memory, scenario)
    assert "cut off at point" in found.value.__notes__[0]


async def test_the_sweep_finds_a_scenario_that_does_not_do_the_same() -> None:
    steps = iter([3, 1])

    async def scenario(open_harness: OpenHarness) -> None:
        async with open_harness(SAMPLES) as harness:
            await harness.start(StartSample(steps=next(steps, 0)))

    with pytest.raises(AssertionError, match="does not do the same each time"):
        await at_every_point(Harness.in_memory, scenario)


async def ask(world: OutsideWorld[str]) -> tuple[str, int, int]:
    """How a call of this world ended: error or output, attempts, effects."""

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("ask", world.carry_out, "answer", verify=world.look_up)

    async with Harness.in_memory(odd(run)) as harness:
        one = await harness.start(StartOdd())
        await harness.advance(hours=1)
        end = one.error.name if one.status == "errored" else str(one.output)
        return end, one.step("ask").attempts, len(world.books)


async def test_the_outside_world_is_unwell_as_told() -> None:
    worlds = [OutsideWorld[str]() for _ in range(6)]
    _, lost_request, lost_answer, away, refusing, silent = worlds
    lost_request.lose_requests()
    lost_answer.lose_answers()
    away.be_away(times=2)
    refusing.refuse(NonRetryableError("no"))
    silent.lose_answers()
    silent.is_silent = True
    assert [await ask(world) for world in worlds] == [
        ("answer", 1, 1),
        ("answer", 2, 1),
        ("answer", 1, 1),
        ("answer", 3, 1),
        ("no", 1, 0),
        ("outcome_unknown", 1, 1),
    ]
