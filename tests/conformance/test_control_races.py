"""Controls that meet a run at its boundaries, at its end, and one another."""

from __future__ import annotations

import pytest

from shared.messages.workflows import Action, ErrorInfo, Status
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.records import InstanceKey
from shared.workflow.step import Step
from tests.conformance.conftest import Bench
from tests.scripts import (
    HOUR,
    KIND,
    Meddler,
    Stream,
    again,
    fail_and_undo,
    fail_for_good,
    leave_row,
    replica,
    sleep_between,
    two_steps,
    undo_row,
)

KEY = InstanceKey(KIND, "one")


@pytest.mark.rule("engine-13", "engine-14")
async def test_a_resume_that_another_replica_stores_before_its_pause_is_the_last_word(
    bench: Bench,
) -> None:
    one, two, stream = (
        replica(bench.rig, sleep_between),
        replica(bench.rig, sleep_between),
        Stream(),
    )
    await one.executor.deliver(stream.start())
    pause, resume = stream.control(Action.PAUSE), stream.control(Action.RESUME)
    await two.executor.deliver(resume)
    assert await one.executor.deliver(pause) == "parked"
    assert (await bench.rig.status(*KEY)).status is Status.WAITING
    assert await one.advance(HOUR) == ["complete"]


@pytest.mark.rule("engine-13", "engine-14")
async def test_a_pause_from_before_a_restart_does_not_stop_the_new_run(bench: Bench) -> None:
    rig, stream = replica(bench.rig, sleep_between), Stream()
    await rig.executor.deliver(stream.start())
    pause, restart = stream.control(Action.PAUSE), stream.control(Action.RESTART)
    assert await rig.executor.deliver(restart) == "parked"
    assert await rig.executor.deliver(pause) == "parked"
    assert await rig.advance(HOUR) == ["complete"]


@pytest.mark.rule("engine-13", "engine-14")
@pytest.mark.parametrize("rollback", [False, True], ids=["", "with-rollback"])
async def test_a_terminate_from_before_a_restart_does_not_end_the_new_run(
    bench: Bench, rollback: bool
) -> None:
    rig, stream = replica(bench.rig, sleep_between), Stream()
    await rig.executor.deliver(stream.start())
    terminate = stream.control(Action.TERMINATE, rollback=rollback)
    restart = stream.control(Action.RESTART)
    assert await rig.executor.deliver(restart) == "parked"
    # A pause after it is obeyed, and does not make the terminate younger.
    assert await rig.executor.deliver(stream.control(Action.PAUSE)) == "paused"
    assert await rig.executor.deliver(terminate) == "paused"
    assert await bench.store.unread(KEY) == []
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "parked"
    assert await rig.advance(HOUR) == ["complete"]
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert loaded[0].run == 2


@pytest.mark.rule("engine-13", "engine-14")
async def test_a_terminate_from_before_a_pause_still_ends_the_run(bench: Bench) -> None:
    rig, stream = replica(bench.rig, sleep_between), Stream()
    await rig.executor.deliver(stream.start())
    terminate, pause = stream.control(Action.TERMINATE), stream.control(Action.PAUSE)
    assert await rig.executor.deliver(pause) == "paused"
    assert await rig.executor.deliver(terminate) == "terminated"


@pytest.mark.rule("engine-12", "engine-14")
@pytest.mark.parametrize("action", [Action.PAUSE, Action.TERMINATE, Action.RESTART])
async def test_a_control_at_the_moment_of_the_end_keeps_the_instance_from_ending(
    bench: Bench, action: Action
) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    arriving = stream.control(action)

    async def run(ctx: WorkflowContext) -> str:
        result = await two_steps(ctx)
        if arriving.settled is None:
            await other.executor.deliver(arriving)
        return result

    rig = replica(bench.rig, run)
    outcome = await rig.executor.deliver(stream.start())
    runs = 2 if action is Action.RESTART else 1
    assert outcome == {"pause": "paused", "terminate": "terminated", "restart": "complete"}[action]
    assert await bench.effects("one") == ["first", "second"] * runs


@pytest.mark.rule("engine-12", "engine-14")
async def test_a_control_between_the_end_and_its_commit_is_delivered_again(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    restart = stream.control(Action.RESTART)

    async def arrive() -> None:
        await other.executor.deliver(restart)

    rig = replica(bench.rig, two_steps, faults=Meddler("before commit", arrive))
    assert await rig.executor.deliver(stream.start()) == "complete"
    assert restart.settled == "nak"
    assert await other.executor.deliver(again(restart)) == "complete"
    assert await bench.effects("one") == ["first", "second"] * 2


@pytest.mark.rule("engine-2", "engine-14")
async def test_a_late_wake_of_an_earlier_run_means_nothing_to_the_next(bench: Bench) -> None:
    rig, stream = replica(bench.rig, sleep_between), Stream()
    await rig.executor.deliver(stream.start())
    late = stream.wake()
    bench.rig.clock.advance(HOUR / 2)
    assert await rig.executor.deliver(stream.control(Action.RESTART)) == "parked"
    bench.rig.clock.advance(HOUR / 2)
    # The first run's hour is over, the second's is not.
    before = await bench.rig.status(*KEY)
    assert await rig.executor.deliver(late) == "parked"
    assert await rig.executor.deliver(again(late)) == "parked"
    assert await bench.rig.status(*KEY) == before
    assert await rig.advance(HOUR / 2) == ["complete"]
    assert await bench.effects("one") == ["first", "first", "second"]


@pytest.mark.rule("engine-3", "engine-14")
async def test_only_a_lease_that_ran_out_is_taken_over_by_a_control(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    terminate = stream.control(Action.TERMINATE)

    async def call(call: Call) -> str:
        # No transaction is open: the lease alone keeps others out.
        assert await other.executor.deliver(terminate) == "leased"
        assert terminate.settled == "ack"
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    assert await replica(bench.rig, run).executor.deliver(stream.start()) == "terminated"
    assert [step.status for step in (await bench.rig.status(*KEY)).steps] == ["complete"]


@pytest.mark.rule("engine-14")
async def test_a_pause_during_compensations_keeps_their_cause(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, fail_and_undo)
    pause = stream.control(Action.PAUSE)

    async def undo_and_pause(step: Step, name: str) -> None:
        await other.executor.deliver(pause)
        await undo_row(step, name)

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("first", leave_row, "first", compensate=undo_row)
        await ctx.step("second", leave_row, "second", compensate=undo_and_pause)
        return await ctx.step("fails", fail_for_good)

    rig = replica(bench.rig, run)
    assert await rig.executor.deliver(stream.start()) == "paused"
    assert await bench.effects("one") == ["first", "second", "undo second"]
    # What waits for the end of the compensations does not go on with them.
    restart = stream.control(Action.RESTART)
    assert await rig.executor.deliver(restart) == "early"
    assert (await bench.rig.status(*KEY)).status is Status.PAUSED
    cause = ErrorInfo(name="no_room", message="there is no room", step="fails")
    assert (await bench.rig.status(*KEY)).error == cause
    terminate = stream.control(Action.TERMINATE)
    assert await rig.executor.deliver(terminate) == "early"
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "terminated"
    # All was undone, then the restart obeyed, and then the terminate behind it.
    undone = ["first", "second", "undo second", "undo first"]
    assert await bench.effects("one") == undone


@pytest.mark.rule("engine-14")
async def test_a_pause_at_the_moment_a_compensation_waits_keeps_its_cause(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, fail_and_undo)
    failed = False

    async def fail_once(step: Step, name: str) -> None:
        nonlocal failed
        if not failed:
            failed = True
            await other.executor.deliver(stream.control(Action.PAUSE))
            raise RuntimeError("not now")
        await undo_row(step, name)

    async def run(ctx: WorkflowContext) -> str:
        retrying = ctx.options(retry=Retry(max_attempts=2, delay=HOUR))
        await retrying.step("first", leave_row, "first", compensate=fail_once)
        return await ctx.step("fails", fail_for_good)

    rig = replica(bench.rig, run)
    assert await rig.executor.deliver(stream.start()) == "paused"
    bench.rig.clock.advance(HOUR)
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "errored"
    ended = await bench.rig.status(*KEY)
    assert ended.rollback == "complete"
    assert ended.error is not None
    assert ended.error.name == "no_room"


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-another"])
async def test_a_control_waits_quietly_for_a_look_up_that_comes_again(
    bench: Bench, beside: bool
) -> None:
    stream = Stream()
    looked_up = 0

    async def lost(call: Call) -> str:
        raise ConnectionError("the answer was lost")

    async def look_up(call: Call) -> str:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 1:
            raise ConnectionError("not now")
        return "found"

    async def call_it(ctx: WorkflowContext) -> str:
        retrying = ctx.options(retry=Retry(max_attempts=3, delay=HOUR))
        return await retrying.call("call", lost, verify=look_up)

    async def step_later(ctx: WorkflowContext) -> str:
        await ctx.sleep("short", HOUR / 2)
        return await ctx.step("second", leave_row, "second")

    async def run(ctx: WorkflowContext) -> str:
        if beside:
            await ctx.parallel(call_it, step_later)
        else:
            await call_it(ctx)
        return await ctx.step("last", leave_row, "last")

    rig = replica(bench.rig, run)
    assert await rig.executor.deliver(stream.start()) == "parked"
    bench.rig.clock.advance(HOUR / 2)
    pause = stream.control(Action.PAUSE)
    assert await rig.executor.deliver(pause) in {"early", "parked"}
    assert pause.settled == "ack"
    assert await bench.effects("one") == []
    bench.rig.clock.advance(HOUR / 2)
    assert await rig.executor.deliver(stream.wake()) == "paused"
    assert looked_up == 2
    assert await bench.effects("one") == []
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "complete"


@pytest.mark.rule("engine-12", "engine-14")
async def test_a_restart_behind_a_terminate_is_not_forgotten(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, sleep_between)
    controls = [stream.control(Action.TERMINATE), stream.control(Action.RESTART)]

    async def call(call: Call) -> str:
        for each in controls:
            if each.settled is None:
                # Acknowledged: the owner, who holds a lease, will see it.
                assert await other.executor.deliver(each) == "leased"
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    assert await replica(bench.rig, run).executor.deliver(stream.start()) == "complete"
    assert await bench.store.unread(KEY) == []
    loaded = await bench.store.load(KEY)
    assert loaded is not None
    assert loaded[0].run == 2
