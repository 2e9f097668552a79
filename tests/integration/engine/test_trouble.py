"""What goes wrong inside a run ends as an attempt or a redelivery, never in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.events import Event
from shared.testing.samples import Done, StartSample
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.step import Step
from tests.integration.engine.conftest import MakePlace, StartService

Body = Callable[[Step], Awaitable[str]]


class OneStep:
    """A workflow of one step, whose body is the test's."""

    kind = "sample"

    def __init__(self, body: Body, max_attempts: int = 1):
        self._body = body
        self._retry = Retry(max_attempts=max_attempts, delay=timedelta(milliseconds=20))

    async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
        return Done([await ctx.options(retry=self._retry).step("only", self.carry_out)], "")

    async def carry_out(self, step: Step) -> str:
        return await self._body(step)


class Huge(Event, frozen=True, kw_only=True):
    name = "huge"

    text: str


async def test_a_fact_that_no_stream_takes_fails_its_step_and_stops_nothing(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    async def publish_much(step: Step) -> str:
        if step.workflow_id == "huge":
            step.publish(Huge(text="x" * 2 * MAX_CONTENT_BYTES))
        return "done"

    place = await make_place(nats_url)
    await start_service(place, OneStep(publish_much))
    await place.publish([StartSample(id="huge")])
    await place.until("SELECT count(*) = 1 FROM workflow_instances WHERE status = 'errored'")
    assert await place.fetchval("SELECT count(*) FROM outbox") == 0
    await place.publish([StartSample(id="next")])
    await place.until_ended(1)
    await place.until_settled()


async def test_steps_at_once_on_one_context_end_the_instance_and_keep_no_connection(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = asyncio.Event()

    class AtOnce:
        kind = "sample"

        async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
            if start.steps == 1:
                return Done([], "")
            await asyncio.gather(ctx.step("a", self.wait), ctx.step("b", self.wait))
            return Done([], "")

        async def wait(self, step: Step) -> str:
            await step.connection.execute("SELECT pg_sleep(0.2)")
            await gate.wait()
            return "waited"

    place = await make_place(nats_url)
    await start_service(place, AtOnce(), workers=1, wake_workers=1)
    await place.publish([StartSample(id=f"bad-{n}") for n in range(6)])
    await place.until("SELECT count(*) = 6 FROM workflow_instances WHERE status = 'errored'")
    gate.set()
    await place.publish([StartSample(id=f"good-{n}", steps=1) for n in range(4)])
    await place.until_ended(4)
    await place.until_settled()
    # Of runs alone: the loops of the service have transactions of their own, at any moment.
    open_transactions = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' "
        "AND datname = current_database() AND application_name = 'sample-steps'"
    )
    assert await place.fetchval(open_transactions) == 0


async def test_a_step_that_raises_cancelled_error_of_its_own_is_an_attempt(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    async def cancelled(_: Step) -> str:
        raise asyncio.CancelledError

    place = await make_place(nats_url)
    await start_service(place, OneStep(cancelled))
    await place.publish([StartSample(id="one")])
    await place.until("SELECT count(*) = 1 FROM workflow_instances WHERE status = 'errored'")
    await place.until_settled()


@pytest.mark.rule("engine-7")
async def test_a_statement_prepared_before_a_migration_is_no_attempt(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    async def read_all(step: Step) -> str:
        return str(await step.connection.fetchrow("SELECT * FROM counters WHERE name = 0"))

    place = await make_place(nats_url)
    await start_service(place, OneStep(read_all), workers=1, wake_workers=1)
    await place.publish([StartSample(id=f"before-{n}") for n in range(4)])
    await place.until_ended(4)
    await place.fetchval("ALTER TABLE counters ADD COLUMN note text")
    await place.publish([StartSample(id=f"after-{n}") for n in range(4)])
    await place.until("SELECT count(*) = 8 FROM workflow_instances WHERE finished_at IS NOT NULL")
    assert await place.fetch("SELECT DISTINCT status FROM workflow_instances") == [("complete",)]


async def test_a_step_that_the_workflow_cuts_off_leaves_no_half_of_itself(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    cut = 0

    class Impatient:
        kind = "sample"

        async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
            try:
                async with asyncio.timeout(0.05 if cut < 2 else None):
                    await ctx.step("slow", self.write_and_hang)
            except TimeoutError:
                await ctx.step("apology", self.write, "apology")
            return Done([], "")

        async def write(self, step: Step, name: str) -> str:
            await step.connection.execute("INSERT INTO effects VALUES (DEFAULT, 'one', $1)", name)
            return name

        async def write_and_hang(self, step: Step) -> str:
            nonlocal cut
            await self.write(step, "slow")
            if cut < 2:
                cut += 1
                await asyncio.Event().wait()
            return "slow"

    place = await make_place(nats_url)
    await start_service(place, Impatient())
    await place.publish([StartSample(id="one")])
    await place.until_ended(1)
    assert await place.fetch("SELECT step FROM effects") == [("slow",)]
    await place.until_settled()


async def test_a_run_that_leaves_a_step_behind_ends_errored_without_its_effect(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    class Hasty:
        kind = "sample"

        async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
            entered = asyncio.Event()
            self._left = asyncio.create_task(ctx.step("left", self.write_and_hang, entered))
            await entered.wait()
            return Done([], "")

        async def write_and_hang(self, step: Step, entered: asyncio.Event) -> str:
            await step.connection.execute("INSERT INTO effects VALUES (DEFAULT, 'one', 'left')")
            entered.set()
            await asyncio.Event().wait()
            return "never"

    place = await make_place(nats_url)
    await start_service(place, Hasty())
    await place.publish([StartSample(id="one")])
    await place.until("SELECT count(*) = 1 FROM workflow_instances WHERE status = 'errored'")
    error = "SELECT error ->> 'name' FROM workflow_instances"
    assert await place.fetchval(error) == "WorkflowMisuse"
    assert await place.fetchval("SELECT count(*) FROM effects") == 0
    await place.until_settled()
