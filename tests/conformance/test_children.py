"""Children: their ends are told to the run that waits for them, once each, and to no other."""

from __future__ import annotations

import pytest

from shared.messages import subjects
from shared.messages.workflows import Action, Status
from shared.testing.faults import Cut
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.rig import Rig
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import ChildFailed, NonRetryableError
from shared.workflow.records import InstanceKey, OutboxMessage
from tests.conformance.conftest import Bench
from tests.scripts import (
    CHILD,
    HOUR,
    KIND,
    Meddler,
    StartErrand,
    Stream,
    Word,
    again,
    leave_row,
    replica,
)

KEY, ERRAND = InstanceKey(KIND, "one"), InstanceKey(CHILD, "errand")


async def await_errand(ctx: WorkflowContext) -> str:
    child = await ctx.start_child("errand", StartErrand(id="errand"))
    return await child.result(str)


async def tell_failure(ctx: WorkflowContext) -> str:
    try:
        return await await_errand(ctx)
    except ChildFailed as failed:
        return failed.name


async def run_errand(ctx: WorkflowContext) -> str:
    return await ctx.step("run", leave_row, "run")


async def wait_for_word(ctx: WorkflowContext) -> str:
    return (await ctx.wait_for_signal("word", Word)).text


async def fail_errand(ctx: WorkflowContext) -> str:
    raise NonRetryableError("lost", "it lost its way")


def deliveries(rig: Rig, action: str) -> list[MemoryDelivery]:
    """What instances have published, as the stream would deliver it."""
    found = [each for each in rig.commands if subjects.parts(each.subject)[1] == action]
    for each in found:
        rig.commands.remove(each)
    return [_delivery(each, number) for number, each in enumerate(found)]


def _delivery(message: OutboxMessage, number: int) -> MemoryDelivery:
    origin = f"CHILDREN/2026/{1000 + number}"
    return MemoryDelivery(message.subject, message.body, dict(message.headers), origin=origin)


@pytest.mark.rule("engine-24")
async def test_a_parent_is_woken_with_its_childs_output(bench: Bench) -> None:
    rig, stream = replica(bench.rig, await_errand, run_errand), Stream()
    assert await rig.executor.deliver(stream.start()) == "parked"
    assert await rig.relay() == ["complete", "complete"]
    assert await rig.output(*KEY) == "run"
    assert await bench.effects("errand") == ["run"]


@pytest.mark.rule("engine-24")
async def test_a_child_that_ended_before_anybody_waits_is_told_all_the_same(bench: Bench) -> None:
    async def dawdle(ctx: WorkflowContext) -> str:
        child = await ctx.start_child("errand", StartErrand(id="errand"))
        await ctx.sleep("night", HOUR)
        return await child.result(str)

    rig, stream = replica(bench.rig, dawdle, run_errand), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.relay() == ["complete", "early"]
    assert await rig.advance(HOUR) == ["complete"]
    assert await rig.output(*KEY) == "run"


@pytest.mark.rule("engine-21", "engine-24")
@pytest.mark.parametrize("apart", ["at-once", "a-night"])
async def test_a_child_tells_its_end_as_often_as_it_is_asked(bench: Bench, apart: str) -> None:
    async def ask_twice(ctx: WorkflowContext) -> list[str]:
        child = await ctx.start_child("errand", StartErrand(id="errand"))
        first = await child.result(str)
        if apart == "a-night":
            await ctx.sleep("night", HOUR)
        second = await child.result(str)
        await ctx.sleep("day", HOUR)
        return [first, second]

    rig, stream = replica(bench.rig, ask_twice, run_errand), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.relay() == ["complete", "parked"]
    await rig.advance(HOUR)
    await rig.advance(HOUR)
    assert await rig.output(*KEY) == ["run", "run"]


@pytest.mark.rule("engine-14", "engine-24")
async def test_a_restart_between_two_looks_at_a_childs_end_needs_no_second_notice(
    bench: Bench,
) -> None:
    async def look_twice(ctx: WorkflowContext) -> list[str]:
        child = await ctx.start_child("errand", StartErrand(id="errand"))
        first = await child.result(str)
        await ctx.step("between", leave_row, "between")
        second = await child.result(str)
        await ctx.sleep("night", HOUR)
        return [first, second]

    rig, stream = replica(bench.rig, look_twice, run_errand), Stream()
    await rig.executor.deliver(stream.start())
    await rig.relay()
    assert await rig.executor.deliver(stream.control(Action.RESTART, from_step="between")) == (
        "parked"
    )
    assert await bench.store.unread(KEY) == []
    await rig.advance(HOUR)
    assert await rig.output(*KEY) == ["run", "run"]


@pytest.mark.rule("engine-24")
async def test_a_childs_error_is_its_parents_to_catch(bench: Bench) -> None:
    rig, stream = replica(bench.rig, tell_failure, fail_errand), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.relay() == ["errored", "complete"]
    assert await rig.output(*KEY) == "lost"
    again = replica(bench.rig, await_errand, fail_errand)
    await again.executor.deliver(stream.control(Action.RESTART))
    assert await rig.output(*KEY) is None
    await again.relay()
    error = (await rig.status(*KEY)).error
    assert error is not None
    assert error.name == "child_exists"


@pytest.mark.rule("engine-24")
@pytest.mark.parametrize("ended", [False, True])
async def test_a_parent_is_told_that_somebody_else_has_its_childs_id(
    bench: Bench, ended: bool
) -> None:
    child = run_errand if ended else wait_for_word
    rig, stream = replica(bench.rig, tell_failure, child), Stream()
    await rig.executor.deliver(Stream("errand", CHILD).start())
    await rig.executor.deliver(stream.start())
    [start] = deliveries(rig, "start")
    assert await rig.executor.deliver(start) == "exists"
    assert start.settled == "ack"
    assert (await rig.relay())[-1] == "complete"
    assert await rig.output(*KEY) == "child_exists"


@pytest.mark.rule("engine-24", "engine-27")
async def test_a_parent_is_told_that_its_childs_start_is_undecodable(bench: Bench) -> None:
    async def misname(ctx: WorkflowContext) -> str:
        child = await ctx.start_child("errand", StartErrand(id="no id!"))
        try:
            return await child.result(str)
        except ChildFailed as failed:
            return failed.name

    rig, stream = replica(bench.rig, misname, run_errand), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.relay() == ["undecodable", "complete"]
    assert await rig.output(*KEY) == "undecodable"
    assert await bench.dead_letters() == [("undecodable", subjects.start(CHILD))]


@pytest.mark.rule("engine-24", "engine-30")
async def test_a_child_too_large_for_a_message_is_its_parents_error(bench: Bench) -> None:
    async def overload(ctx: WorkflowContext) -> None:
        await ctx.start_child("errand", StartErrand(note="x" * 1024 * 1024))

    rig, stream = replica(bench.rig, overload), Stream()
    assert await rig.executor.deliver(stream.start()) == "errored"
    error = (await rig.status(*KEY)).error
    assert error is not None
    assert error.name == "child_too_large"
    assert await bench.store.unsent(KEY) == []


@pytest.mark.rule("engine-11", "engine-24")
async def test_a_parent_is_told_of_a_child_whose_worker_died_right_after_its_end(
    bench: Bench,
) -> None:
    async def die() -> None:
        raise Cut

    rig, stream = replica(bench.rig, await_errand, run_errand), Stream()
    await rig.executor.deliver(stream.start())
    [start] = deliveries(rig, "start")
    dying = replica(bench.rig, await_errand, run_errand, faults=Meddler("after commit", die))
    with pytest.raises(Cut):
        await dying.executor.deliver(start)
    # It lies in the inbox already: any look at the parent will do, at the latest the timekeeper's.
    assert len(await bench.store.unread(KEY)) == 1
    assert await rig.executor.deliver(again(start)) == "ended"
    assert await rig.wake(*KEY) == "complete"
    assert await rig.output(*KEY) == "run"
    assert await bench.effects("errand") == ["run"]


@pytest.mark.rule("engine-24")
@pytest.mark.parametrize(
    ("action", "told"),
    [(Action.TERMINATE, "terminated"), (Action.RESTART, "second"), (Action.PAUSE, "second")],
)
async def test_a_parent_is_not_told_of_an_end_that_a_control_prevents(
    bench: Bench, action: Action, told: str
) -> None:
    errand, other = Stream("errand", CHILD), replica(bench.rig, tell_failure)
    control = errand.control(action)
    runs: list[str] = []

    async def end_late(ctx: WorkflowContext) -> str:
        if control.settled is None:
            # The claim has seen nothing of it; the commit of the end does.
            await other.executor.deliver(control)
            return "first"
        return "second"

    rig, stream = replica(bench.rig, tell_failure, end_late), Stream()
    await rig.executor.deliver(stream.start())
    runs += await rig.relay()
    if action is Action.PAUSE:
        assert runs == ["paused"]
        assert await bench.store.unread(KEY) == []
        await rig.executor.deliver(errand.control(Action.RESUME))
        await rig.relay()
    assert await rig.output(*KEY) == told


@pytest.mark.rule("engine-14", "engine-24")
async def test_the_notice_of_an_older_run_is_ignored(bench: Bench) -> None:
    async def await_own(ctx: WorkflowContext) -> str:
        child = await ctx.start_child("errand", StartErrand())
        return await child.result(str)

    rig, stream = replica(bench.rig, await_own, wait_for_word), Stream()
    await rig.executor.deliver(stream.start())
    [first] = deliveries(rig, "start")
    await rig.executor.deliver(first)
    await rig.executor.deliver(stream.control(Action.RESTART))
    [second] = deliveries(rig, "start")
    await rig.executor.deliver(second)
    older, younger = (each.headers[subjects.WORKFLOW_ID] for each in (first, second))
    assert older != younger
    await rig.executor.deliver(Stream(older, CHILD).signal(Word(text="old")))
    assert await rig.relay() == ["early"]
    assert (await rig.status(*KEY)).status is Status.WAITING
    await rig.executor.deliver(Stream(younger, CHILD).signal(Word(text="new")))
    assert await rig.relay() == ["complete"]
    assert await rig.output(*KEY) == "new"


@pytest.mark.rule("engine-14", "engine-24")
async def test_a_child_that_is_restarted_after_its_parent_was_told_changes_nothing_there(
    bench: Bench,
) -> None:
    async def await_and_sleep(ctx: WorkflowContext) -> str:
        result = await tell_failure(ctx)
        await ctx.sleep("night", HOUR)
        return result

    rig, stream = replica(bench.rig, await_and_sleep, fail_errand), Stream()
    await rig.executor.deliver(stream.start())
    assert await rig.relay() == ["errored", "parked"]
    mended = replica(bench.rig, await_and_sleep, run_errand)
    restart = Stream("errand", CHILD).control(Action.RESTART)
    assert await mended.executor.deliver(restart) == "complete"
    assert await mended.relay() == ["early"]
    assert await mended.advance(HOUR) == ["complete"]
    assert await rig.output(*KEY) == "lost"
    assert await bench.store.unread(KEY) == []
    assert await bench.dead_letters() == []


@pytest.mark.rule("engine-14", "engine-24")
@pytest.mark.parametrize("ends", ["before", "after"])
async def test_a_restart_from_a_step_keeps_a_child_and_is_told_its_end(
    bench: Bench, ends: str
) -> None:
    async def step_between(ctx: WorkflowContext) -> str:
        child = await ctx.start_child("errand", StartErrand(id="errand"))
        await ctx.step("between", leave_row, "between")
        result = await child.result(str)
        await ctx.sleep("night", HOUR)
        return result

    rig, stream = replica(bench.rig, step_between, wait_for_word), Stream()
    await rig.executor.deliver(stream.start())
    await rig.relay()
    word = Stream("errand", CHILD).signal(Word(text="once"))
    restart = stream.control(Action.RESTART, from_step="between")
    for each in (word, restart) if ends == "before" else (restart, word):
        await rig.executor.deliver(each)
        await rig.relay()
    assert await bench.effects("one") == ["between", "between"]
    assert await rig.advance(HOUR) == ["complete"]
    assert await rig.output(*KEY) == "once"


@pytest.mark.rule("engine-14", "engine-24")
@pytest.mark.parametrize("rollback", [False, True])
async def test_a_terminated_parent_terminates_the_children_that_have_not_ended(
    bench: Bench, rollback: bool
) -> None:
    async def start_two(ctx: WorkflowContext) -> str:
        ended = await ctx.start_child("ended", StartErrand(id="ended"))
        await ctx.start_child("errand", StartErrand(id="errand"))
        await ctx.start_child("late", StartErrand(id="late"))
        await ended.result(str)
        return await wait_for_word(ctx)

    rig, stream = replica(bench.rig, start_two, wait_for_word), Stream()
    await rig.executor.deliver(stream.start())
    *started, late = deliveries(rig, "start")
    for start in started:
        await rig.executor.deliver(start)
    await rig.executor.deliver(Stream("ended", CHILD).signal(Word(text="done")))
    await rig.relay()
    terminate = stream.control(Action.TERMINATE, rollback=rollback)
    assert await rig.executor.deliver(terminate) == "terminated"
    controls = deliveries(rig, "control")
    assert [await rig.executor.deliver(each) for each in controls] == ["terminated", "absent"]
    # Its start was on its way.
    assert await rig.executor.deliver(late) == "terminated"
    statuses = [(await rig.status(CHILD, each)).status for each in ("ended", "errand", "late")]
    assert statuses == [Status.COMPLETE, Status.TERMINATED, Status.TERMINATED]
