"""What the engine guarantees a workflow's code, on the twins in memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.messages.workflows import Status, Trigger
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import Transient
from shared.workflow.options import Retry
from shared.workflow.records import InstanceKey
from shared.workflow.registry import Registry, register
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step


class StartOdd(Trigger, frozen=True, kw_only=True):
    kind = "odd"
    service = "odd"


class Odd:
    """A workflow whose `run` is the test's."""

    kind = "odd"

    def __init__(self, run: Any):
        self._run = run

    async def run(self, ctx: WorkflowContext, start: StartOdd) -> object:
        return await self._run(ctx)


def rig_of(run: Any, **parts: Any) -> Rig:
    return Rig([register(StartOdd, Odd(run))], **parts)


async def note(step: Step, text: str) -> str:
    await step.connection.execute("note", text)
    return text


def notes(rig: Rig) -> list[str]:
    assert isinstance(rig.store, MemoryStore)
    return [args[0] for _, args in rig.store.effects]


async def error_of(rig: Rig) -> str:
    error = (await rig.status("odd", "one")).error
    return error.name if error else ""


@pytest.mark.rule("engine-21")
async def test_random_ids_and_now_are_the_same_on_every_replay() -> None:
    seen: list[list[object]] = []

    async def run(ctx: WorkflowContext) -> None:
        values: list[object] = [ctx.now, ctx.random.random(), ctx.uuid4()]
        seen.append(values)
        await ctx.step("a", note, "a")
        values.extend([ctx.now, ctx.random.random()])
        await ctx.sleep("rest", timedelta(days=1))
        values.extend([ctx.now, ctx.uuid4()])

    rig = rig_of(run)
    await rig.start(StartOdd(id="one"))
    await rig.advance(timedelta(days=3))
    first, second = seen
    assert second[: len(first)] == first
    assert second[5] == rig.clock.now()
    other = rig_of(run)
    await other.start(StartOdd(id="two"))
    assert seen[2][1:3] != first[1:3]


@pytest.mark.rule("engine-10")
async def test_two_operations_at_once_on_one_context_are_refused() -> None:
    async def slow(step: Step) -> None:
        await asyncio.Event().wait()

    async def run(ctx: WorkflowContext) -> None:
        first = asyncio.ensure_future(ctx.step("slow", slow))
        await asyncio.sleep(0)
        try:
            await ctx.step("second", note, "x")
        finally:
            first.cancel()

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "errored"
    error = (await rig.status("odd", "one")).error
    assert error is not None
    assert error.name == "WorkflowMisuse"
    assert "await one operation before the next" in error.message


@pytest.mark.rule("engine-20")
async def test_nothing_acts_after_the_run_was_interrupted() -> None:
    async def run(ctx: WorkflowContext) -> str:
        try:
            await ctx.sleep("rest", timedelta(days=1))
        except BaseException:  # noqa: BLE001 - the worst that a workflow can do
            await ctx.step("after", note, "must not be")
        finally:
            await ctx.step("finally", note, "must not be")
        return "done"

    rig = rig_of(run)
    outcome = await rig.start(StartOdd(id="one"))
    assert (await rig.status("odd", "one")).status is Status.WAITING
    assert notes(rig) == []
    assert outcome == "parked"


@pytest.mark.rule("engine-20")
async def test_a_workflow_that_swallows_its_interruption_is_still_parked() -> None:
    async def run(ctx: WorkflowContext) -> str:
        with suppress(BaseException):
            await ctx.sleep("rest", timedelta(days=1))
        return "swallowed"

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "parked"
    assert (await rig.status("odd", "one")).status is Status.WAITING


@pytest.mark.rule("engine-22")
async def test_a_journal_that_the_code_does_not_follow_pauses_and_goes_on_later() -> None:
    name = "first"

    async def run(ctx: WorkflowContext) -> str:
        await ctx.step(name, note, name)
        await ctx.sleep("rest", timedelta(hours=1))
        return "done"

    rig = rig_of(run)
    await rig.start(StartOdd(id="one"))
    name = "renamed"
    assert await rig.advance(timedelta(hours=1)) == ["mismatched"]
    paused = await rig.status("odd", "one")
    assert paused.status is Status.PAUSED
    assert paused.error is not None
    assert paused.error.name == "journal_mismatch"
    assert paused.error.step == "step 'renamed'"
    name = "first"
    assert await rig.advance(timedelta(seconds=30)) == ["complete"]
    done = await rig.status("odd", "one")
    assert done.error is None
    assert notes(rig) == ["first"]


@pytest.mark.rule("engine-22")
async def test_a_run_that_returns_before_its_journal_ends_is_a_mismatch() -> None:
    shorter = False

    async def run(ctx: WorkflowContext) -> str:
        if not shorter:
            await ctx.step("first", note, "first")
            await ctx.sleep("rest", timedelta(hours=1))
        return "done"

    rig = rig_of(run)
    await rig.start(StartOdd(id="one"))
    shorter = True
    assert await rig.advance(timedelta(hours=1)) == ["mismatched"]


@pytest.mark.rule("engine-8")
async def test_a_long_segment_commits_at_the_next_step_and_shows_its_steps() -> None:
    seen: list[tuple[str, ...]] = []

    async def look(step: Step) -> None:
        loaded = await rig.store.load(InstanceKey("odd", "one"))
        seen.append(tuple(entry.name for entry in loaded[1]) if loaded else ())

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", note, "a")
        await ctx.step("b", look)
        await ctx.step("c", look)

    rig = rig_of(run, settings=EngineSettings(segment_seconds=0))
    assert await rig.start(StartOdd(id="one")) == "complete"
    assert seen == [("a",), ("a", "b")]


@pytest.mark.rule("engine-7")
async def test_trouble_of_the_database_is_no_attempt() -> None:
    troubles = [Transient("deadlock"), Transient("deadlock")]

    async def shaky(step: Step) -> str:
        if troubles:
            raise troubles.pop()
        return "done"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.options(retry=Retry(max_attempts=1)).step("shaky", shaky)

    rig = rig_of(run)
    outcomes = [await rig.start(StartOdd(id="one"), attempt=n) for n in (1, 2, 3)]
    assert outcomes == ["dropped", "dropped", "complete"]
    assert (await rig.status("odd", "one")).steps[0].attempts == 1


class BrokenStatus(MemoryStatusBucket):
    """A bucket that is away for its first puts."""

    def __init__(self, failures: int):
        super().__init__()
        self.failures = failures

    async def put(
        self, key: InstanceKey, document: bytes, order: tuple[int, int, int], revision: int | None
    ) -> int | None:
        if self.failures:
            self.failures -= 1
            raise Transient("no bucket")
        return await super().put(key, document, order, revision)


@pytest.mark.rule("engine-11", "engine-25")
async def test_what_was_committed_stays_when_its_status_could_not_be_put() -> None:
    async def run(ctx: WorkflowContext) -> str:
        return await ctx.step("a", note, "a")

    statuses = BrokenStatus(1)
    rig = rig_of(run, statuses=statuses)
    assert await rig.start(StartOdd(id="one")) == "dropped"
    assert await statuses.get(InstanceKey("odd", "one")) is None
    assert await rig.start(StartOdd(id="one"), attempt=2) == "ended"
    stored = await statuses.get(InstanceKey("odd", "one"))
    assert stored is not None
    assert stored.document.status is Status.COMPLETE
    assert notes(rig) == ["a"]


@pytest.mark.rule("engine-8")
async def test_a_failed_fused_attempt_is_not_made_twice() -> None:
    calls: list[str] = []

    async def failing(step: Step) -> None:
        calls.append("failing")
        raise RuntimeError("no")

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", note, "a")
        await ctx.options(retry=Retry(max_attempts=2)).step("failing", failing)

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "parked"
    assert calls == ["failing"]
    assert await rig.advance(timedelta(seconds=1)) == ["errored"]
    assert calls == ["failing", "failing"]
    assert notes(rig) == ["a"]


async def test_a_step_that_takes_longer_than_its_timeout_has_failed() -> None:
    async def slow(step: Step) -> None:
        await asyncio.Event().wait()

    async def run(ctx: WorkflowContext) -> None:
        quick = ctx.options(timeout=timedelta(milliseconds=5), retry=Retry(max_attempts=1))
        await quick.step("slow", slow)

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "errored"
    assert await error_of(rig) == "StepTimeout"


@pytest.mark.rule("engine-30")
async def test_a_result_over_the_limit_fails_its_step() -> None:
    async def large(step: Step) -> str:
        return "x" * (1024 * 1024)

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("large", large)

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "errored"
    assert await error_of(rig) == "result_too_large"


@pytest.mark.rule("engine-30")
async def test_a_large_output_is_left_out_of_the_status_and_said_so() -> None:
    async def run(ctx: WorkflowContext) -> str:
        return "x" * 700_000

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "complete"
    status = await rig.status("odd", "one")
    assert status.output_omitted
    assert bytes(status.output) == b"null"


async def test_an_error_of_run_itself_ends_the_instance_and_keeps_its_steps() -> None:
    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("a", note, "a")
        raise LookupError("a defect")

    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "errored"
    assert await error_of(rig) == "LookupError"
    assert notes(rig) == ["a"]


async def test_a_result_that_cannot_be_read_back_is_refused_when_it_is_made() -> None:
    class Point(msgspec.Struct):
        x: int

    async def point(step: Step) -> tuple[Point, ...]:
        return (Point(1),)

    async def run(ctx: WorkflowContext) -> list[str]:
        found = await ctx.step("point", point)
        return [type(found).__name__, type(found[0]).__name__]

    # Point is local to this function, so the annotation cannot be resolved at run time.
    rig = rig_of(run)
    assert await rig.start(StartOdd(id="one")) == "errored"
    error = (await rig.status("odd", "one")).error
    assert error is not None
    assert "needs a return annotation" in error.message


@pytest.mark.rule("engine-16")
async def test_the_same_id_under_two_kinds_is_two_instances() -> None:
    class StartEven(Trigger, frozen=True, kw_only=True):
        kind = "even"
        service = "odd"

    class Even:
        kind = "even"

        async def run(self, ctx: WorkflowContext, start: StartEven) -> object:
            return await run(ctx)

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.step("a", note, "a")

    rig = Rig([register(StartOdd, Odd(run)), register(StartEven, Even())])
    assert await rig.start(StartOdd(id="one")) == "complete"
    assert await rig.start(StartEven(id="one")) == "complete"
    assert notes(rig) == ["a", "a"]


def test_a_workflow_registered_for_another_kinds_trigger_is_refused() -> None:
    class StartEven(Trigger, frozen=True, kw_only=True):
        kind = "even"
        service = "odd"

    with pytest.raises(ValueError, match="is of kind 'odd'"):
        # The type checkers say so too.
        register(StartEven, Odd(None))  # type: ignore[misc] # pyright: ignore[reportArgumentType]


def test_a_kind_registered_twice_is_refused() -> None:
    line = register(StartOdd, Odd(None))
    with pytest.raises(ValueError, match="registered twice"):
        Registry([line, line])


@pytest.mark.rule("engine-3")
async def test_a_lost_claim_settles_nothing() -> None:
    async def run(ctx: WorkflowContext) -> str:
        await ctx.step("a", note, "a")
        store = rig.store
        assert isinstance(store, MemoryStore)
        store.rows[InstanceKey("odd", "one")].instance.epoch += 1
        return await ctx.step("b", note, "b")

    rig = rig_of(run)
    delivery = rig.start_delivery(StartOdd(id="one"), attempt=2)
    assert await rig.executor.deliver(delivery) == "lost_claim"
    assert delivery.settled is None
    assert notes(rig) == ["a"]


@pytest.mark.rule("engine-26")
async def test_facts_carry_a_sequence_and_an_id_that_a_second_attempt_repeats() -> None:
    publisher = MemoryPublisher()
    rig = Rig([register(StartSample, SampleWorkflow())], publisher=publisher)
    await rig.start(StartSample(id="one", steps=3, fail_step=2, failures=1))
    await rig.advance(timedelta(seconds=10))
    bodies = [msgspec.json.decode(message.body) for message in publisher.stored.values()]
    facts = [body for body in bodies if "sequence" in body]
    assert [fact["sequence"] for fact in facts] == [1, 2, 3]
    assert all(body["id"] in publisher.stored for body in facts)
