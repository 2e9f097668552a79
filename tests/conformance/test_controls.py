"""Controls at each state of an instance, obeyed at its next boundary and never half."""

from __future__ import annotations

import msgspec
import pytest

from shared.messages import subjects
from shared.messages.workflows import Action, Status
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.records import InstanceKey
from shared.workflow.step import Step
from tests.conformance.conftest import Bench
from tests.scripts import (
    HOUR,
    KIND,
    Run,
    Stream,
    Word,
    again,
    leave_row,
    replica,
    retry_between,
    sleep_between,
    two_steps,
    wait_between,
)

KEY = InstanceKey(KIND, "one")

ASLEEP: dict[str, Run] = {
    "sleeping": sleep_between,
    "waiting": wait_between,
    "retrying": retry_between,
}


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize("run", ASLEEP.values(), ids=ASLEEP)
async def test_what_is_parked_is_paused_at_once_and_resumed_where_it_was(
    bench: Bench, run: Run
) -> None:
    rig, stream = replica(bench.rig, run), Stream()
    await rig.executor.deliver(stream.start())
    before = await bench.rig.status(*KEY)
    assert await rig.executor.deliver(stream.control(Action.PAUSE)) == "paused"
    assert (await bench.rig.status(*KEY)).status is Status.PAUSED
    assert await bench.shown(KEY) is Status.PAUSED
    # Its instant comes and goes; nobody looks, and a late wake is not obeyed.
    assert await rig.advance(2 * HOUR) == []
    assert await rig.executor.deliver(stream.wake()) == "paused"
    assert await bench.effects("one") == ["first"]
    bench.rig.clock.advance(-2 * HOUR)
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "parked"
    resumed = await bench.rig.status(*KEY)
    assert (resumed.status, resumed.wake_at) == (Status.WAITING, before.wake_at)
    assert resumed.version > before.version


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize("run", ASLEEP.values(), ids=ASLEEP)
async def test_what_is_parked_is_terminated_at_once(bench: Bench, run: Run) -> None:
    rig, stream = replica(bench.rig, run), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.executor.deliver(stream.control(Action.TERMINATE)) == "terminated"
    ended = await bench.rig.status(*KEY)
    assert (ended.status, ended.error) == (Status.TERMINATED, None)
    assert ended.finished_at == bench.rig.clock.now()
    assert await rig.advance(2 * HOUR) == []
    assert await bench.effects("one") == ["first"]


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize("run", ASLEEP.values(), ids=ASLEEP)
async def test_a_terminate_with_rollback_undoes_what_was_done(bench: Bench, run: Run) -> None:
    rig, stream = replica(bench.rig, run), Stream()
    await rig.executor.deliver(stream.start())
    terminate = stream.control(Action.TERMINATE, rollback=True)
    assert await rig.executor.deliver(terminate) == "terminated"
    ended = await bench.rig.status(*KEY)
    assert (ended.status, ended.rollback, ended.error) == (Status.TERMINATED, "complete", None)
    assert await bench.effects("one") == ["first", "undo first"]


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize("rollback", [False, True])
async def test_what_is_to_start_later_is_terminated_now(bench: Bench, rollback: bool) -> None:
    rig, stream = replica(bench.rig, two_steps), Stream()
    start = stream.start()
    start.body = msgspec.json.encode({"startAt": bench.rig.clock.now() + 30 * 24 * HOUR})
    assert await rig.executor.deliver(start) == "parked"
    terminate = stream.control(Action.TERMINATE, rollback=rollback)
    assert await rig.executor.deliver(terminate) == "terminated"
    assert (await bench.rig.status(*KEY)).status is Status.TERMINATED
    assert await rig.advance(31 * 24 * HOUR) == []
    assert await bench.effects("one") == []


@pytest.mark.rule("engine-14")
async def test_a_start_that_was_paused_runs_not_before_its_instant_and_not_before_its_resume(
    bench: Bench,
) -> None:
    rig, stream = replica(bench.rig, two_steps), Stream()
    start = stream.start()
    start.body = msgspec.json.encode({"startAt": bench.rig.clock.now() + HOUR})
    await rig.executor.deliver(start)
    await rig.executor.deliver(stream.control(Action.PAUSE))
    await rig.executor.deliver(stream.control(Action.RESUME))
    assert (await bench.rig.status(*KEY)).status is Status.WAITING
    await rig.executor.deliver(stream.control(Action.PAUSE))
    assert await rig.advance(2 * HOUR) == []
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "complete"


@pytest.mark.rule("engine-12", "engine-14")
@pytest.mark.parametrize(
    ("action", "outcome", "status"),
    [
        (Action.PAUSE, "paused", Status.PAUSED),
        (Action.RESUME, "complete", Status.COMPLETE),
        (Action.TERMINATE, "terminated", Status.TERMINATED),
        (Action.RESTART, "complete", Status.COMPLETE),
    ],
)
async def test_a_control_may_come_before_its_instance(
    bench: Bench, action: Action, outcome: str, status: Status
) -> None:
    rig, stream = replica(bench.rig, two_steps), Stream()
    early = stream.control(action)
    assert await rig.executor.deliver(early) == "absent"
    assert early.settled == "ack"
    assert await rig.executor.deliver(stream.start()) == outcome
    assert (await bench.rig.status(*KEY)).status is status
    done = ["first", "second"] if status is Status.COMPLETE else []
    assert await bench.effects("one") == done


@pytest.mark.rule("engine-12", "engine-27")
async def test_what_is_sent_to_an_instance_that_never_comes_expires(bench: Bench) -> None:
    rig, stream = replica(bench.rig, two_steps), Stream()
    assert await rig.executor.deliver(stream.control(Action.PAUSE)) == "absent"
    assert await rig.executor.deliver(stream.signal(Word(text="hello"))) == "absent"
    expire = bench.store.expire_unclaimed
    assert await expire(bench.rig.clock.now(), 10) == 0
    assert await expire(bench.rig.clock.now() + HOUR, 10) == 2
    assert await expire(bench.rig.clock.now() + HOUR, 10) == 0
    assert await bench.dead_letters() == [
        ("workflow_not_found", subjects.control(KIND)),
        ("workflow_not_found", subjects.signal(KIND, "one")),
    ]
    assert await rig.executor.deliver(stream.start()) == "complete"


@pytest.mark.rule("engine-14")
async def test_a_pause_lets_the_step_in_flight_finish(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    pause = stream.control(Action.PAUSE)
    outcomes: list[str | None] = []

    async def step_and_pause(step: Step) -> str:
        outcomes.append(await other.executor.deliver(pause))
        outcomes.append(await bench.shown(KEY))
        return await leave_row(step, "first")

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("first", step_and_pause)
        return await ctx.step("second", leave_row, "second")

    rig = replica(bench.rig, run)
    # Unfused: the claim is committed, and the status shows the instance running.
    assert await rig.executor.deliver(again(stream.start())) == "paused"
    assert outcomes == ["busy", Status.WAITING_FOR_PAUSE]
    assert await bench.effects("one") == ["first"]
    assert await bench.shown(KEY) is Status.PAUSED
    # Its message was given back, since nobody could know whether the step's commit saw it.
    assert pause.settled == "nak"
    obeyed = again(pause)
    assert await other.executor.deliver(obeyed) == "paused"
    assert obeyed.settled == "ack"
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "complete"
    assert await bench.effects("one") == ["first", "second"]
    assert await other.executor.deliver(again(obeyed)) == "ended"
    assert await bench.shown(KEY) is Status.COMPLETE


@pytest.mark.rule("engine-14")
async def test_a_pause_that_is_over_is_not_shown_again_by_its_redelivery(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    pause = stream.control(Action.PAUSE)
    statuses: list[Status | None] = []

    async def call(call: Call) -> str:
        assert await other.executor.deliver(again(pause)) == "leased"
        statuses.append(await bench.shown(KEY))
        return "done"

    async def sleep_and_call(ctx: WorkflowContext) -> str:
        await ctx.sleep("night", HOUR)
        return await ctx.call("call", call)

    rig = replica(bench.rig, sleep_and_call)
    await rig.executor.deliver(stream.start())
    await rig.executor.deliver(pause)
    await rig.executor.deliver(stream.control(Action.RESUME))
    assert await rig.advance(HOUR) == ["complete"]
    assert statuses == [Status.RUNNING]


@pytest.mark.rule("engine-2", "engine-22")
async def test_what_another_build_left_paused_is_shown_waiting_once_it_can_be_followed(
    bench: Bench,
) -> None:
    async def otherwise(ctx: WorkflowContext) -> None:
        await ctx.step("otherwise", leave_row, "otherwise")

    stream = Stream()
    rig = replica(bench.rig, sleep_between)
    await rig.executor.deliver(stream.start())
    before = await rig.status(*KEY)
    # A signal has a replica of another build look at it.
    other = replica(bench.rig, otherwise)
    assert await other.executor.deliver(stream.signal(Word(text="look"))) == "mismatched"
    assert (await rig.status(*KEY)).status is Status.PAUSED
    assert await rig.executor.deliver(stream.wake()) == "parked"
    after = await rig.status(*KEY)
    assert (after.status, after.wake_at, after.error) == (Status.WAITING, before.wake_at, None)
    assert await rig.advance(HOUR) == ["complete"]
