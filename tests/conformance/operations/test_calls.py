"""Calls: each attempt is committed first, under one key, and what was lost is never guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.messages.workflows import Action
from shared.testing.faults import Cut
from shared.testing.journeys import leave_row
from shared.workflow.call import UNKNOWN, Call, Unknown
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, NotSent, OutcomeUnknown, StepFailed
from shared.workflow.options import Retry
from shared.workflow.settings import EngineSettings
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, World

Ordering = Callable[[WorkflowContext], Awaitable[str]]


def ordering(world: World, *, verify: bool = True, attempts: int = 3) -> Ordering:
    """A step, a call and a step."""

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("before", leave_row, "before")
        ticket = await ctx.options(retry=Retry(max_attempts=attempts)).call(
            "ticket",
            world.outside.carry_out,
            "ticket",
            verify=world.outside.look_up if verify else None,
        )
        await ctx.step("after", leave_row, "after")
        return ticket

    return run


@pytest.mark.rule("engine-9")
async def test_the_attempt_commits_with_the_segment_before_it_and_before_it_is_sent(
    world: World,
) -> None:
    seen: list[tuple[int, list[tuple[str, str]], list[str]]] = []

    async def look(_: Call) -> None:
        loaded = await world.store.load(KEY)
        assert loaded is not None
        instance, entries = loaded
        seen.append(
            (
                instance.version,
                [(entry.name, entry.state) for entry in entries],
                await world.effects(),
            )
        )

    world.outside.before = look
    assert await world.process(ordering(world)).start() == "complete"
    assert seen == [(1, [("before", "complete"), ("ticket", "calling")], ["before"])]
    status = await world.status()
    assert status.completed_steps == ("before", "ticket", "after")


@pytest.mark.rule("engine-18")
async def test_a_call_is_made_again_under_the_key_of_its_first_attempt(world: World) -> None:
    calls: list[tuple[str, int]] = []

    async def fail_twice(call: Call) -> None:
        calls.append((call.idempotency_key, call.attempt))
        if call.attempt < 3:
            raise ConnectionError("no answer")

    world.outside.before = fail_twice
    process = world.process(ordering(world, verify=False))
    assert await process.start() == "parked"
    assert await process.rig.advance(timedelta(seconds=1)) == ["parked"]
    assert await process.rig.advance(timedelta(seconds=2)) == ["complete"]
    assert [attempt for _, attempt in calls] == [1, 2, 3]
    assert len({key for key, _ in calls}) == 1

    # A restart is another wish: it has keys of its own.
    assert await process.rig.control(*KEY, Action.RESTART) == "parked"
    assert len({key for key, _ in calls}) == 2


@pytest.mark.rule("engine-18")
async def test_an_answer_that_was_not_recorded_is_looked_up_and_not_sent_again(
    world: World,
) -> None:
    async def die(_: Call) -> None:
        raise Cut

    world.outside.after = die
    with pytest.raises(Cut):
        await world.process(ordering(world)).start()
    world.outside.after = None

    successor = world.process(ordering(world))
    assert await successor.start(attempt=2) == "leased"
    await world.pass_seconds(LOST_SECONDS)
    assert await successor.start(attempt=2) == "complete"
    assert list(world.outside.carried_out.values()) == [1]
    assert list(world.outside.asked.values()) == [1]
    assert await world.effects() == ["before", "after"]
    assert (await world.status()).steps[1].attempts == 1


@pytest.mark.rule("engine-18")
async def test_not_found_is_believed_only_once_nothing_can_be_under_way(world: World) -> None:
    sent: list[str] = []

    async def die(call: Call) -> None:
        sent.append(call.idempotency_key)
        raise Cut

    world.outside.before = die
    # Its lease ends long before its call is given up: a worker may still be about to send it.
    short = EngineSettings(lease_seconds=1, call_timeout_seconds=30, call_grace_seconds=5)
    with pytest.raises(Cut):
        await world.process(ordering(world), settings=short).start()
    world.outside.before = None
    successor = world.process(ordering(world), settings=short)
    await world.pass_seconds(30)
    assert await successor.wake() == "leased"
    await world.pass_seconds(5.5)
    assert await successor.wake() == "complete"
    assert sent == list(world.outside.carried_out)
    assert (await world.status()).steps[1].attempts == 2


@pytest.mark.rule("engine-18")
async def test_not_found_too_early_parks_the_run_in_machine_time(world: World) -> None:
    async def fail(_: Call) -> None:
        raise ConnectionError("nobody knows how far it came")

    world.outside.before = fail
    process = world.process(ordering(world))
    assert await process.start() == "parked"
    assert list(world.outside.asked.values()) == [1]
    world.outside.before = None
    # A month of business time makes no call older.
    assert await process.rig.advance(timedelta(days=30)) == []
    assert await process.wake() == "leased"
    assert world.outside.carried_out.total() == 0
    await world.pass_seconds(LOST_SECONDS)
    assert await process.rig.advance(timedelta()) == ["complete"]
    assert list(world.outside.carried_out.values()) == [1]
    assert list(world.outside.asked.values()) == [2]
    assert (await world.status()).steps[1].attempts == 2


@pytest.mark.rule("engine-18")
async def test_a_look_up_that_cannot_tell_reaches_the_run_as_unknown(world: World) -> None:
    async def fail(_: Call) -> None:
        raise ConnectionError

    async def run(ctx: WorkflowContext) -> str:
        try:
            return await ordering(world)(ctx)
        except OutcomeUnknown as unknown:
            return f"{unknown.step}: {unknown.name}"

    world.outside.before = fail
    world.outside.answers = "unknown"
    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "ticket: outcome_unknown"
    status = await world.status()
    assert [step.status for step in status.steps] == ["complete", "unknown"]


@pytest.mark.rule("engine-18")
async def test_a_look_up_that_fails_comes_again_and_is_not_repeated_for_ever(
    world: World,
) -> None:
    async def fail(_: Call) -> None:
        raise ConnectionError

    async def no_look_up(_: Call, __: str) -> str | Unknown:
        raise TimeoutError("the other side is down")

    async def run(ctx: WorkflowContext) -> str:
        try:
            return await ctx.call("ticket", world.outside.carry_out, "t", verify=no_look_up)
        except OutcomeUnknown as unknown:
            return unknown.message

    world.outside.before = fail
    process = world.process(run)
    assert await process.start() == "parked"
    assert (await world.status()).steps[0].status == "verifying"
    assert await process.rig.advance(timedelta(seconds=1)) == ["parked"]
    assert await process.rig.advance(timedelta(seconds=2)) == ["complete"]
    assert await process.rig.output(*KEY) == "the look-up failed: the other side is down"
    assert world.outside.carried_out.total() == 0


@pytest.mark.rule("engine-14", "engine-18")
async def test_a_pause_waits_for_a_look_up_that_comes_again(world: World) -> None:
    looked_up = 0

    async def fail(_: Call) -> None:
        raise ConnectionError

    async def look_up_at_last(_: Call, __: str) -> str | Unknown:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 1:
            raise TimeoutError
        return "found"

    async def run(ctx: WorkflowContext) -> str:
        await ctx.call("ticket", world.outside.carry_out, "t", verify=look_up_at_last)
        return await ctx.step("after", leave_row, "after")

    world.outside.before = fail
    process = world.process(run)
    assert await process.start() == "parked"
    async with asyncio.timeout(10):
        # It is no reason to run again and again until the look-up is due.
        assert await process.rig.control(*KEY, Action.PAUSE) == "early"
        assert await process.rig.wake(*KEY, attempt=2) == "parked"
    assert looked_up == 1
    assert await process.rig.advance(timedelta(seconds=1)) == ["paused"]
    assert [step.status for step in (await world.status()).steps] == ["complete"]
    assert await process.rig.control(*KEY, Action.RESUME) == "complete"
    assert looked_up == 2


@pytest.mark.rule("engine-18")
async def test_what_was_certainly_not_sent_is_sent_again_without_a_look_up(world: World) -> None:
    async def refuse_once(call: Call) -> None:
        if call.attempt == 1:
            raise NotSent("connection refused")

    world.outside.before = refuse_once
    process = world.process(ordering(world))
    assert await process.start() == "parked"
    assert await process.rig.advance(timedelta(seconds=1)) == ["complete"]
    assert world.outside.asked.total() == 0
    assert list(world.outside.carried_out.values()) == [1]


@pytest.mark.rule("engine-18")
async def test_a_refusal_ends_a_call_at_once(world: World) -> None:
    async def decline(_: Call) -> None:
        raise NonRetryableError("card_declined")

    world.outside.before = decline
    assert await world.process(ordering(world)).start() == "errored"
    status = await world.status()
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("card_declined", "ticket")
    assert (status.steps[1].status, status.steps[1].attempts) == ("failed", 1)
    assert world.outside.asked.total() == 0


@pytest.mark.rule("engine-18")
@pytest.mark.parametrize("verify", [True, False])
async def test_a_crash_loop_in_a_call_meets_max_attempts(world: World, verify: bool) -> None:
    keys: list[str] = []

    async def die(call: Call) -> None:
        keys.append(call.idempotency_key)
        raise Cut

    world.outside.before = die
    for attempt in (1, 2, 3):
        with pytest.raises(Cut):
            await world.process(ordering(world, verify=verify)).start(attempt)
        await world.pass_seconds(LOST_SECONDS)
    assert await world.process(ordering(world, verify=verify)).start(4) == "errored"
    assert len(keys) == 3
    assert len(set(keys)) == 1
    status = await world.status()
    assert status.error is not None
    assert status.error.name == "CallInterrupted"
    # Where nobody can be asked, nobody knows.
    assert status.steps[1].status == ("failed" if verify else "unknown")


@pytest.mark.rule("engine-18")
@pytest.mark.parametrize("error", [RuntimeError("500"), TimeoutError(), NotSent("too late")])
async def test_a_call_without_a_look_up_that_heard_nothing_has_an_unknown_outcome(
    world: World, error: Exception
) -> None:
    async def fail(call: Call) -> None:
        raise RuntimeError("500") if call.attempt == 1 else error

    async def run(ctx: WorkflowContext) -> str:
        try:
            return await ordering(world, verify=False, attempts=2)(ctx)
        except OutcomeUnknown as unknown:
            return unknown.name

    world.outside.before = fail
    process = world.process(run)
    assert await process.start() == "parked"
    assert await process.rig.advance(timedelta(seconds=1)) == ["complete"]
    assert await process.rig.output(*KEY) == type(error).__name__


async def test_a_look_up_that_never_answers_is_bounded_by_the_calls_timeout(
    world: World,
) -> None:
    async def fail(_: Call) -> None:
        raise ConnectionError

    async def hang(_: Call, __: str) -> str | Unknown:
        await asyncio.Event().wait()
        return UNKNOWN

    async def run(ctx: WorkflowContext) -> str:
        hasty = ctx.options(timeout=timedelta(milliseconds=20), retry=Retry(max_attempts=1))
        try:
            return await hasty.call("ticket", world.outside.carry_out, "t", verify=hang)
        except StepFailed as failed:
            return failed.message

    world.outside.before = fail
    process = world.process(run)
    assert await process.start() == "complete"
    assert await process.rig.output(*KEY) == "the look-up failed: took longer than 0.02 s"
