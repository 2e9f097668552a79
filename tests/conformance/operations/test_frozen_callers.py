"""A caller that stands still, is slow or is drained, and another that takes its place."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from shared.testing.faults import Faults
from shared.testing.journeys import leave_row
from shared.testing.memory_status import MemoryStatusBucket
from shared.workflow.call import NOT_FOUND, Call, NotFound
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, Run, World


def buying(world: World) -> Run:
    """A call that is looked up, and a step."""

    async def run(ctx: WorkflowContext) -> str:
        ticket = await ctx.call(
            "ticket", world.outside.carry_out, "t", verify=world.outside.look_up
        )
        return await ctx.step("after", leave_row, ticket)

    return run


@pytest.mark.rule("engine-18")
@pytest.mark.parametrize("arrives", ["before", "after"])
async def test_what_a_thawed_caller_sends_is_the_same_request_and_it_commits_nothing(
    world: World, arrives: str
) -> None:
    """`arrives`: when the frozen one thaws, before or after its successor has sent the same."""
    sent: Counter[str] = Counter()
    frozen, thaw = asyncio.Event(), asyncio.Event()

    async def freeze(call: Call) -> None:
        sent[call.idempotency_key] += 1
        if call.attempt == 1:
            # After the last look at the lease: nothing keeps it from being sent any more.
            frozen.set()
            await thaw.wait()
        elif arrives == "before":
            thaw.set()
            await thawed

    world.outside.before = freeze
    thawed = asyncio.create_task(world.process(buying(world)).start())
    await frozen.wait()
    successor = world.process(buying(world))
    assert await successor.start(2) == "leased"
    await world.pass_seconds(LOST_SECONDS)
    assert await successor.start(2) == "complete"
    thaw.set()
    assert await thawed == "lost_claim"
    [key] = sent
    assert sent[key] == 2
    assert world.outside.carried_out == {key: 1}
    assert await world.effects() == ["t for one"]
    assert (await world.status()).steps[0].attempts == 2


@pytest.mark.rule("engine-18")
async def test_a_caller_that_freezes_between_its_commit_and_sending_sends_nothing_late(
    world: World,
) -> None:
    faults = Faults(1, freeze=True)
    frozen = asyncio.create_task(world.process(buying(world), faults=faults).start())
    await faults.reached.wait()
    assert faults.passed[-1] == "after commit"
    await world.pass_seconds(LOST_SECONDS)
    successor = world.process(buying(world))
    assert await successor.start(2) == "complete"
    sent = list(world.outside.carried_out.values())
    # What it finds in the books when it goes on is no concern of its own.
    world.outside.carried_out.clear()
    faults.thaw.set()
    assert await frozen == "dropped"
    assert sent == [1]
    assert world.outside.carried_out.total() == 0


class SlowStatus(MemoryStatusBucket):
    """A bucket whose first put takes long, by the clock of the process that puts."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds
        self.pass_seconds = asyncio.Queue[float]()
        self.passed = asyncio.Event()

    async def put(
        self, key: InstanceKey, document: bytes, order: Order, revision: int | None
    ) -> int | None:
        if self.seconds:
            await self.pass_seconds.put(self.seconds)
            self.seconds = 0
            await self.passed.wait()
        return await super().put(key, document, order, revision)


@pytest.mark.rule("engine-18")
async def test_nothing_is_sent_under_a_lease_that_a_slow_commit_has_used_up(
    world: World,
) -> None:
    statuses = SlowStatus(6)
    process = world.process(buying(world), statuses=statuses)
    running = asyncio.create_task(process.start())
    await world.pass_seconds(await statuses.pass_seconds.get())
    statuses.passed.set()
    assert await running == "dropped"
    assert world.outside.carried_out.total() == 0
    await world.pass_seconds(LOST_SECONDS)
    assert await process.start(2) == "complete"
    assert list(world.outside.carried_out.values()) == [1]


@pytest.mark.rule("engine-18")
async def test_a_look_up_longer_than_the_lease_is_not_taken_over(world: World) -> None:
    other = world.process(buying(world))
    outcomes: list[str] = []

    async def slow_look_up(call: Call, what: str) -> str | NotFound:
        await world.pass_seconds(25)
        outcomes.append(await other.wake())
        return f"{what} was found"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("ticket", world.outside.carry_out, "t", verify=slow_look_up)

    async def fail(_: Call) -> None:
        # Most of the lease that it was made under is used up by it.
        await world.pass_seconds(25)
        raise ConnectionError

    world.outside.before = fail
    process = world.process(run)
    assert await process.start() == "complete"
    assert outcomes == ["leased"]
    assert await process.rig.output(*KEY) == "t was found"


@pytest.mark.rule("engine-18")
async def test_another_branchs_commit_does_not_shorten_the_lease_of_a_call(
    world: World,
) -> None:
    in_flight, committed = asyncio.Event(), asyncio.Event()
    other = world.process(buying(world))
    outcomes: list[str] = []

    async def hold(_: Call) -> None:
        in_flight.set()
        await committed.wait()
        # Longer than the lease of a commit without a call.
        await world.pass_seconds(25)
        outcomes.append(await other.wake())

    async def caller(ctx: WorkflowContext) -> str:
        return await ctx.call("ticket", world.outside.carry_out, "t")

    async def stepper(ctx: WorkflowContext) -> str:
        await in_flight.wait()
        await ctx.step("beside", leave_row, "beside")
        committed.set()
        return "beside"

    async def run(ctx: WorkflowContext) -> list[str]:
        return list(await ctx.parallel(caller, stepper))

    world.outside.before = hold
    assert await world.process(run).start() == "complete"
    assert outcomes == ["leased"]


@pytest.mark.rule("engine-18")
async def test_a_drain_in_a_call_leaves_the_lease_to_what_may_still_arrive(
    world: World,
) -> None:
    in_flight = asyncio.Event()

    async def hang(call: Call) -> None:
        if call.attempt == 1:
            in_flight.set()
            await asyncio.Event().wait()

    world.outside.before = hang
    drained = asyncio.create_task(world.process(buying(world)).start())
    await in_flight.wait()
    drained.cancel()
    assert await drained == "dropped"
    successor = world.process(buying(world))
    assert await successor.start(2) == "leased"
    await world.pass_seconds(34)
    assert await successor.start(2) == "leased"
    await world.pass_seconds(2)
    assert await successor.start(2) == "complete"
    assert list(world.outside.carried_out.values()) == [1]
    assert await world.effects() == ["t for one"]


@pytest.mark.rule("engine-18")
async def test_a_timed_out_call_is_looked_up_while_it_may_still_arrive(world: World) -> None:
    async def hang(call: Call) -> None:
        if call.attempt == 1:
            await asyncio.Event().wait()

    async def run(ctx: WorkflowContext) -> str:
        hasty = ctx.options(timeout=timedelta(milliseconds=20))
        return await hasty.call("ticket", world.outside.carry_out, "t", verify=look_up)

    async def look_up(call: Call, what: str) -> str | NotFound:
        found = await world.outside.look_up(call, what)
        return NOT_FOUND if found is NOT_FOUND else str(found)

    world.outside.before = hang
    process = world.process(run)
    assert await process.start() == "parked"
    await world.pass_seconds(LOST_SECONDS)
    assert await process.wake() == "complete"
    assert (await world.status()).steps[0].attempts == 2
