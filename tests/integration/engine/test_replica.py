"""One replica at work: retries on the real clock, drains, backlogs, duplicates, free workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.testing.samples import Done, StartSample
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.step import Step
from tests.integration.engine.conftest import MakePlace, StartService


class Gated:
    """Two steps, the first of which may be held up by the test."""

    kind = "sample"

    def __init__(self, before: Callable[[str], Awaitable[None]], retry: Retry | None = None):
        self._before = before
        self._retry = retry or Retry()

    async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
        steps = ctx.options(retry=self._retry)
        if start.sleep_seconds:
            await ctx.sleep("rest", timedelta(seconds=start.sleep_seconds))
        done = [await steps.step(f"step_{n}", self.leave_row, f"step_{n}") for n in range(2)]
        return Done(done, ctx.now.isoformat())

    async def leave_row(self, step: Step, name: str) -> str:
        if name == "step_0":
            await self._before(step.workflow_id)
        await step.connection.execute(
            "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)", step.workflow_id, name
        )
        return name


class Gate:
    """Holds up the instances whose id begins with a prefix, until it is opened."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.entered = asyncio.Semaphore(0)
        self.open = asyncio.Event()
        self.times = 0

    async def __call__(self, workflow_id: str) -> None:
        if workflow_id.startswith(self._prefix):
            self.times += 1
            self.entered.release()
            await self.open.wait()


@pytest.mark.rule("engine-2", "engine-8")
async def test_a_failed_step_comes_again_by_redelivery_before_the_timekeeper_steps_in(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    failures = 2

    async def fail_twice(_: str) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("told to fail")

    retry = Retry(max_attempts=3, delay=timedelta(milliseconds=50))
    place = await make_place(nats_url)
    # A timekeeper that never looks: what ends the instance is the redelivery alone.
    await start_service(place, Gated(fail_twice, retry), timekeeper_seconds=3600.0)
    await place.publish([StartSample(id="one")])
    await place.until_ended(1)
    attempts = await place.fetch("SELECT name, attempts FROM workflow_journal ORDER BY position")
    assert attempts == [("step_0", 3), ("step_1", 1)]
    await place.until_settled()
    assert await place.doubled() == []


@pytest.mark.rule("engine-3")
async def test_a_drain_lets_running_steps_finish_and_takes_nothing_more(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = Gate()
    place = await make_place(nats_url)
    replica = await start_service(place, Gated(gate), workers=2)
    await place.publish([StartSample(id=f"{n}") for n in range(4)])
    for _ in range(2):
        await gate.entered.acquire()
    replica.service.stop()
    gate.open.set()
    assert await replica.stop() is None
    assert await place.fetchval("SELECT count(*) FROM workflow_instances") == 2
    await start_service(place)
    await place.until_ended(4)
    await place.until_settled()
    assert await place.doubled() == []


@pytest.mark.rule("engine-3", "engine-6")
async def test_what_does_not_finish_in_a_drain_is_given_back_to_the_other_replicas(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = Gate()
    place = await make_place(nats_url)
    replica = await start_service(place, Gated(gate), drain_seconds=0.1)
    await place.publish([StartSample(id="one")])
    await gate.entered.acquire()
    assert await replica.stop() is None
    await start_service(place)
    await place.until_ended(1)
    await place.until_settled()
    assert await place.doubled() == []


@pytest.mark.rule("engine-32")
async def test_a_backlog_of_starts_delays_no_wake(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = Gate("backlog")
    place = await make_place(nats_url)
    await start_service(place, Gated(gate), lease_seconds=60.0, ack_wait_seconds=60.0)
    await place.publish([StartSample(id="asleep", sleep_seconds=1.0)])
    await place.until("SELECT count(*) = 1 FROM workflow_instances WHERE status = 'waiting'")
    await place.publish([StartSample(id=f"backlog-{n}") for n in range(2000)])
    for _ in range(16):
        await gate.entered.acquire()
    # Every worker for starts is taken and 1984 wait; the sleeper ends all the same.
    await place.until_ended(1)
    gate.open.set()
    await place.until_ended(2001)
    await place.until_settled()
    assert await place.doubled() == []


@pytest.mark.rule("engine-4", "engine-15")
async def test_fifty_duplicates_of_a_slow_start_leave_the_pool_to_others(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = Gate("slow")
    place = await make_place(nats_url)
    await start_service(place, Gated(gate), workers=4, wake_workers=1, lease_seconds=30.0)
    await place.publish([StartSample(id="slow")] * 50)
    await gate.entered.acquire()
    await place.publish([StartSample(id=f"other-{n}") for n in range(50)])
    await place.until_ended(50)
    gate.open.set()
    await place.until_ended(51)
    assert gate.times == 1
    assert await place.doubled() == []


@pytest.mark.rule("engine-32")
async def test_a_free_worker_is_used_while_the_others_are_long_at_work(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    gate = Gate("slow")
    place = await make_place(nats_url)
    await start_service(place, Gated(gate), workers=4, lease_seconds=60.0, ack_wait_seconds=60.0)
    await place.publish([StartSample(id=f"slow-{n}") for n in range(3)])
    for _ in range(3):
        await gate.entered.acquire()
    await place.publish([StartSample(id=f"quick-{n}") for n in range(3)])
    await place.until_ended(3)
    gate.open.set()
    await place.until_ended(6)
    await place.until_settled()
