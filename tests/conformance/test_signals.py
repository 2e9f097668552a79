"""Signals: first in, first out, once each, and none lost between a run and its parking."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shared.messages import subjects
from shared.messages.workflows import Action, Status
from shared.testing.faults import Cut
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.rig import Rig
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import SignalTimeout
from shared.workflow.options import Retry
from shared.workflow.records import InstanceKey
from shared.workflow.step import Step
from tests.conformance.conftest import Bench
from tests.scripts import KIND, Meddler, Nod, Stream, Word, again, leave_row, replica

KEY = InstanceKey(KIND, "one")


async def wait_for_word(ctx: WorkflowContext) -> str:
    return (await ctx.wait_for_signal("word", Word)).text


async def wait_for_three(ctx: WorkflowContext) -> list[str]:
    return [(await ctx.wait_for_signal("word", Word)).text for _ in range(3)]


async def wait_an_hour(ctx: WorkflowContext) -> str:
    try:
        return (await ctx.wait_for_signal("word", Word, timedelta(hours=1))).text
    except SignalTimeout:
        return "nobody"


async def die() -> None:
    raise Cut


async def settle(rig: Rig, delivery: MemoryDelivery) -> str:
    """Delivers until it is not given back; returns the last outcome."""
    outcome = await rig.executor.deliver(delivery)
    while delivery.settled == "nak":
        delivery = again(delivery)
        outcome = await rig.executor.deliver(delivery)
    return outcome


@pytest.mark.rule("engine-12")
@pytest.mark.parametrize("waits", ["", "asleep"])
async def test_a_signal_that_comes_before_anybody_waits_is_kept(bench: Bench, waits: str) -> None:
    async def sleep_and_wait(ctx: WorkflowContext) -> str:
        if waits:
            await ctx.sleep("night", timedelta(hours=8))
        return await wait_for_word(ctx)

    rig, stream = replica(bench.rig, sleep_and_wait), Stream()
    early = stream.signal(Word(text="early"))
    if waits:
        await rig.executor.deliver(stream.start())
        assert await rig.executor.deliver(early) == "early"
        assert (await rig.status(KIND, "one")).status is Status.WAITING
        assert await rig.advance(timedelta(hours=8)) == ["complete"]
    else:
        assert await rig.executor.deliver(early) == "absent"
        assert await rig.executor.deliver(stream.start()) == "complete"
    assert early.settled == "ack"
    assert await rig.output(KIND, "one") == "early"


@pytest.mark.rule("engine-12")
@pytest.mark.parametrize("redelivered", [False, True], ids=["fused", "unfused"])
async def test_a_signal_at_the_moment_of_parking_is_not_lost(
    bench: Bench, redelivered: bool
) -> None:
    stream, other = Stream(), replica(bench.rig, wait_for_word)
    arriving = stream.signal(Word(text="now"))
    outcomes: list[str] = []

    async def arrive() -> None:
        # The checkpoint is written and has seen no signal; its commit is still to come.
        outcomes.append(await other.executor.deliver(arriving))

    async def step_and_wait(ctx: WorkflowContext) -> str:
        await ctx.step("before", leave_row, "before")
        return await wait_for_word(ctx)

    # Unfused, the claim and the step have commits of their own before that of the parking.
    commits = 3 if redelivered else 1
    passed = 0

    async def meddle() -> None:
        nonlocal passed
        passed += 1
        if passed == commits:
            await arrive()

    rig = replica(bench.rig, step_and_wait, faults=Meddler("before commit", meddle, times=commits))
    start = stream.start()
    assert await rig.executor.deliver(again(start) if redelivered else start) == "parked"
    assert outcomes != []
    assert arriving.settled == "nak", "nobody else would bring it"
    assert await replica(bench.rig, step_and_wait).executor.deliver(again(arriving)) == "complete"
    assert await rig.output(KIND, "one") == "now"


@pytest.mark.rule("engine-12")
async def test_a_signal_between_the_wait_and_its_commit_keeps_the_instance_from_parking(
    bench: Bench,
) -> None:
    stream, other = Stream(), replica(bench.rig, wait_for_word)
    arriving = stream.signal(Word(text="between"))

    async def step_and_wait(ctx: WorkflowContext) -> str:
        await ctx.step("before", leave_row, "before")
        if arriving.settled is None:
            # The inbox was looked at when the claim was made: it was empty.
            await other.executor.deliver(arriving)
        return await wait_for_word(ctx)

    rig = replica(bench.rig, step_and_wait)
    assert await rig.executor.deliver(stream.start()) == "complete"
    assert await rig.output(KIND, "one") == "between"
    assert await bench.effects("one") == ["before"]
    assert await settle(other, again(arriving)) == "ended"


@pytest.mark.rule("engine-12")
async def test_a_signal_that_was_read_is_not_brought_again_and_again(bench: Bench) -> None:
    async def word_and_sleep(ctx: WorkflowContext) -> None:
        await wait_for_word(ctx)
        await ctx.sleep("month", timedelta(days=30))

    rig, stream = replica(bench.rig, word_and_sleep), Stream()
    await rig.executor.deliver(stream.start())
    signal = stream.signal(Word(text="read"))
    assert await rig.executor.deliver(signal) == "parked"
    # Its acknowledgement was lost. The instance sleeps for a month, and the signal is read.
    repeated = again(signal)
    assert await rig.executor.deliver(repeated) == "parked"
    assert repeated.settled == "ack"


@pytest.mark.rule("engine-13")
async def test_signals_count_in_the_order_of_their_stream_whoever_stores_them_first(
    bench: Bench,
) -> None:
    stream = Stream()
    one, two = replica(bench.rig, wait_for_three), replica(bench.rig, wait_for_three)
    await one.executor.deliver(stream.start())
    first, third = stream.signal(Word(text="first")), stream.signal(Nod())
    second = stream.signal(Word(text="second"), after=first)
    # Another replica has the first in hand, and is slower.
    assert await two.executor.deliver(second) == "parked"
    assert await one.executor.deliver(first) == "early"
    assert await one.executor.deliver(third) == "early"
    assert await two.executor.deliver(stream.signal(Word(text="last"))) == "complete"
    assert await one.output(KIND, "one") == ["first", "second", "last"]


@pytest.mark.rule("engine-13")
async def test_the_same_signal_twice_counts_once(bench: Bench) -> None:
    stream, rig = Stream(), replica(bench.rig, wait_for_three)
    await rig.executor.deliver(stream.start())
    for text, signal_id in (("a", "s1"), ("b", "s1"), ("c", "s2"), ("d", "s2"), ("e", None)):
        await rig.executor.deliver(stream.signal(Word(text=text), signal_id=signal_id))
    assert await rig.output(KIND, "one") == ["a", "c", "e"]


@pytest.mark.rule("engine-12")
async def test_types_do_not_wait_for_one_another(bench: Bench) -> None:
    async def nod_and_word(ctx: WorkflowContext) -> str:
        await ctx.wait_for_signal("nod", Nod)
        return await wait_for_word(ctx)

    stream, rig = Stream(), replica(bench.rig, nod_and_word)
    await rig.executor.deliver(stream.start())
    await rig.executor.deliver(stream.signal(Word(text="first")))
    assert (await rig.status(KIND, "one")).status is Status.WAITING
    assert await rig.executor.deliver(stream.signal(Nod())) == "complete"
    assert await rig.output(KIND, "one") == "first"


@pytest.mark.rule("engine-13")
@pytest.mark.parametrize("stored", ["before", "after"])
async def test_a_time_out_reads_the_inbox_first(bench: Bench, stored: str) -> None:
    stream, rig = Stream(), replica(bench.rig, wait_an_hour)
    await rig.executor.deliver(stream.start())
    bench.rig.clock.advance(timedelta(hours=1))
    signal = stream.signal(Word(text="in time"))
    if stored == "before":
        # Stored, and its handler died: the wake of the time-out finds it.
        dying = replica(bench.rig, wait_an_hour, faults=Meddler("after keep", die))
        with pytest.raises(Cut):
            await dying.executor.deliver(signal)
        assert await rig.executor.deliver(stream.wake()) == "complete"
        assert await rig.output(KIND, "one") == "in time"
    else:
        assert await rig.executor.deliver(stream.wake()) == "complete"
        assert await rig.executor.deliver(signal) == "ended"
        assert await rig.output(KIND, "one") == "nobody"
    assert await bench.store.unread(KEY) == []


@pytest.mark.rule("engine-1", "engine-12")
async def test_the_timekeeper_brings_a_signal_whose_handler_died(bench: Bench) -> None:
    stream = Stream()
    await replica(bench.rig, wait_for_word).executor.deliver(stream.start())
    dying = replica(bench.rig, wait_for_word, faults=Meddler("after keep", die))
    with pytest.raises(Cut):
        await dying.executor.deliver(stream.signal(Word(text="late")))
    due: list[InstanceKey] = []
    async with asyncio.timeout(30):
        # Machine time: its first look is some seconds after the signal.
        while not due:
            due = await bench.store.take_due(bench.rig.clock.now(), 10)
            await asyncio.sleep(0.05)
    assert due == [KEY]
    rig = replica(bench.rig, wait_for_word)
    assert await rig.executor.deliver(stream.wake()) == "complete"
    assert await rig.output(KIND, "one") == "late"


@pytest.mark.rule("engine-12")
async def test_a_signal_to_a_paused_instance_waits_for_its_resume(bench: Bench) -> None:
    stream, rig = Stream(), replica(bench.rig, wait_for_word)
    await rig.executor.deliver(stream.start())
    assert await rig.executor.deliver(stream.control(Action.PAUSE)) == "paused"
    signal = stream.signal(Word(text="patient"))
    assert await rig.executor.deliver(signal) == "paused"
    assert signal.settled == "ack"
    assert await rig.executor.deliver(stream.wake()) == "paused"
    assert await rig.executor.deliver(stream.control(Action.RESUME)) == "complete"
    assert await rig.output(KIND, "one") == "patient"


@pytest.mark.rule("engine-12", "engine-27")
async def test_a_signal_that_nobody_will_read_goes_to_the_dead_letters(bench: Bench) -> None:
    stream, rig = Stream(), replica(bench.rig, wait_for_word)
    await rig.executor.deliver(stream.start())
    await rig.executor.deliver(stream.signal(Nod()))
    assert await rig.executor.deliver(stream.signal(Word(text="end"))) == "complete"
    # One was unread at the end; the other comes after it, and twice.
    late = stream.signal(Word(text="late"))
    for delivery in (late, again(late)):
        assert await rig.executor.deliver(delivery) == "ended"
        assert delivery.settled == "ack"
    assert await bench.dead_letters() == [("workflow_ended", subjects.signal(KIND, "one"))] * 2
    assert await bench.store.unread(KEY) == []


@pytest.mark.rule("engine-12", "engine-27")
@pytest.mark.parametrize(
    "body", [b"{", b"{}", b'{"type": "shout"}', b'{"type": "word", "payload": {"text": 1}}']
)
async def test_what_is_no_signal_of_the_workflow_goes_to_the_dead_letters(
    bench: Bench, body: bytes
) -> None:
    stream, rig = Stream(), replica(bench.rig, wait_for_word)
    await rig.executor.deliver(stream.start())
    broken = stream.signal(Word(text=""))
    broken.body = body
    assert await rig.executor.deliver(broken) == "undecodable"
    # Standing before another one, it does not keep that from being read.
    sound = stream.signal(Word(text="sound"), after=broken)
    assert await rig.executor.deliver(sound) == "complete"
    assert await bench.dead_letters() == [("undecodable", subjects.signal(KIND, "one"))]


@pytest.mark.rule("engine-12")
async def test_a_signal_read_in_a_branch_stays_read_when_its_next_step_fails(
    bench: Bench,
) -> None:
    failures = 1

    async def fail_once(step: Step, text: str) -> str:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RuntimeError("told to fail")
        return await leave_row(step, text)

    async def word_and_step(ctx: WorkflowContext) -> str:
        return await ctx.step("say", fail_once, await wait_for_word(ctx))

    async def both(ctx: WorkflowContext) -> list[str]:
        retrying = ctx.options(retry=Retry(max_attempts=2, delay=timedelta(minutes=5)))
        return list(await retrying.parallel(word_and_step))

    stream, rig = Stream(), replica(bench.rig, both)
    await rig.executor.deliver(stream.signal(Word(text="heard")))
    assert await rig.executor.deliver(stream.start()) == "parked"
    assert await bench.store.unread(KEY) == []
    assert await rig.advance(timedelta(minutes=5)) == ["complete"]
    assert await rig.output(KIND, "one") == ["heard"]
