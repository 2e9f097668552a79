"""Restarts: the next run of an instance, from its beginning or from a step."""

from __future__ import annotations

import pytest

from shared.messages import subjects
from shared.messages.workflows import Action, Status
from shared.testing.memory_delivery import MemoryDelivery
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.records import Instance, InstanceKey
from tests.conformance.conftest import Bench
from tests.scripts import (
    HOUR,
    KIND,
    Run,
    Stream,
    fail_and_undo,
    leave_row,
    replica,
    retry_between,
    sleep_between,
    two_steps,
    undo_row,
    wait_between,
)

KEY = InstanceKey(KIND, "one")


async def loaded(bench: Bench) -> Instance:
    found = await bench.store.load(KEY)
    assert found is not None
    return found[0]


async def three_and_branches(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first")
    await ctx.parallel(
        lambda branch: branch.step("left", leave_row, "left"),
        lambda branch: branch.step("right", leave_row, "right"),
    )
    await ctx.sleep("night", HOUR)
    return await ctx.step("last", leave_row, "last")


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize(
    ("run", "left_by", "ends_in"),
    [
        (sleep_between, [], Status.WAITING),
        (wait_between, [], Status.WAITING),
        (retry_between, [], Status.WAITING),
        (sleep_between, [Action.PAUSE], Status.WAITING),
        (sleep_between, [Action.TERMINATE], Status.WAITING),
        (two_steps, [], Status.COMPLETE),
        (fail_and_undo, [], Status.ERRORED),
    ],
    ids=["sleeping", "waiting", "retrying", "paused", "terminated", "complete", "errored"],
)
async def test_a_restart_begins_anew_and_resets_neither_epoch_nor_version(
    bench: Bench, run: Run, left_by: list[Action], ends_in: Status
) -> None:
    rig, stream = replica(bench.rig, run), Stream()
    await rig.executor.deliver(stream.start())
    for action in left_by:
        await rig.executor.deliver(stream.control(action))
    before, effects = await loaded(bench), await bench.effects("one")
    bench.rig.clock.advance(HOUR / 60)
    await rig.executor.deliver(stream.control(Action.RESTART))
    after = await loaded(bench)
    assert (after.run, after.status) == (2, ends_in)
    assert after.epoch > before.epoch
    assert after.version > before.version
    assert after.started_at == bench.rig.clock.now()
    assert after.created_at == before.created_at
    assert (after.finished_at is not None) is ends_in.ended
    assert await bench.effects("one") == effects * 2
    assert await bench.shown(KEY) is ends_in


@pytest.mark.rule("engine-14")
async def test_a_restart_waits_for_the_call_in_flight_and_begins_under_another_key(
    bench: Bench,
) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    restart = stream.control(Action.RESTART)
    keys: list[str] = []

    async def call(call: Call) -> str:
        keys.append(call.idempotency_key)
        if len(keys) == 1:
            assert await other.executor.deliver(restart) == "leased"
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    assert await replica(bench.rig, run).executor.deliver(stream.start()) == "complete"
    assert len(set(keys)) == 2
    async with bench.store.transaction() as transaction:
        runs = [await transaction.journal(KEY, number) for number in (1, 2)]
    assert [entry.state for entries in runs for entry in entries] == ["complete", "complete"]


@pytest.mark.rule("engine-14")
@pytest.mark.parametrize(
    ("from_step", "again"),
    [
        ("first", ["first", "left", "right", "last"]),
        ("left", ["left", "right", "last"]),
        ("right", ["left", "right", "last"]),
        ("night", ["last"]),
        ("last", ["last"]),
    ],
)
async def test_a_restart_from_a_step_keeps_what_is_before_it(
    bench: Bench, from_step: str, again: list[str]
) -> None:
    rig, stream = replica(bench.rig, three_and_branches), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.advance(HOUR) == ["complete"]
    done = await bench.effects("one")
    await rig.executor.deliver(stream.control(Action.RESTART, from_step=from_step))
    await rig.advance(HOUR)
    status = await rig.status(*KEY)
    assert status.status is Status.COMPLETE
    assert sorted(status.completed_steps) == ["first", "last", "left", "right"]
    assert sorted((await bench.effects("one"))[len(done) :]) == sorted(again)


@pytest.mark.rule("engine-14", "engine-27")
async def test_a_restart_from_an_unknown_step_is_refused_and_nothing_else_with_it(
    bench: Bench,
) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    controls = [
        stream.control(Action.PAUSE),
        stream.control(Action.RESTART, from_step="nowhere"),
    ]

    async def call(call: Call) -> str:
        for control in controls:
            assert await other.executor.deliver(control) == "leased"
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    rig = replica(bench.rig, run)
    assert await rig.executor.deliver(stream.start()) == "paused"
    # The control is buried, not the start whose delivery carried it out.
    assert await bench.dead_letters() == [("unknown_step", subjects.control(KIND))]
    assert await bench.store.unread(KEY) == []
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "complete"
    nowhere = stream.control(Action.RESTART, from_step="nowhere")
    before = await loaded(bench)
    assert await rig.executor.deliver(nowhere) == "complete"
    after = await loaded(bench)
    assert (after.run, after.finished_at) == (1, before.finished_at)
    assert len(await bench.dead_letters()) == 2


@pytest.mark.rule("engine-14", "engine-27")
async def test_what_was_undone_cannot_be_kept_by_a_restart_from_a_step(bench: Bench) -> None:
    rig, stream = replica(bench.rig, fail_and_undo), Stream()
    assert await rig.executor.deliver(stream.start()) == "errored"
    assert await bench.effects("one") == ["first", "undo first"]
    await rig.executor.deliver(stream.control(Action.RESTART, from_step="fails"))
    assert await bench.effects("one") == ["first", "undo first"]
    assert await bench.dead_letters() == [("rolled_back", subjects.control(KIND))]
    await rig.executor.deliver(stream.control(Action.RESTART))
    assert await bench.effects("one") == ["first", "undo first"] * 2


@pytest.mark.rule("engine-14")
async def test_compensations_of_a_run_that_kept_steps_undo_those_too(bench: Bench) -> None:
    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("first", leave_row, "first", compensate=undo_row)
        await ctx.step("second", leave_row, "second", compensate=undo_row)
        await ctx.sleep("night", HOUR)

    rig, stream = replica(bench.rig, run), Stream()
    await rig.executor.deliver(stream.start())
    await rig.executor.deliver(stream.control(Action.RESTART, from_step="second"))
    await rig.executor.deliver(stream.control(Action.TERMINATE, rollback=True))
    assert await bench.effects("one") == [
        "first",
        "second",
        "second",
        "undo second",
        "undo first",
    ]


@pytest.mark.rule("engine-13", "engine-14")
async def test_a_redelivered_restart_restarts_once(bench: Bench) -> None:
    rig, stream = replica(bench.rig, two_steps), Stream()
    await rig.executor.deliver(stream.start())
    restart = stream.control(Action.RESTART)
    assert await rig.executor.deliver(restart) == "complete"
    repeated = MemoryDelivery(restart.subject, restart.body, attempt=2, origin=restart.origin)
    assert await rig.executor.deliver(repeated) == "ended"
    assert repeated.settled == "ack"
    assert (await loaded(bench)).run == 2
