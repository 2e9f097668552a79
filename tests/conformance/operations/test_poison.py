"""What takes its process down again and again: first it runs alone, then it is ended."""

from __future__ import annotations

import asyncio

import pytest

from shared.messages.workflows import Action, Status
from shared.testing.faults import Cut
from shared.testing.journeys import leave_row
from shared.workflow.context import WorkflowContext
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step
from tests.conformance.operations.conftest import KEY, LOST_SECONDS, StartFree, World


class Poison:
    """A run whose process dies in its second step, until it is cured."""

    def __init__(self) -> None:
        self.deaths = 0
        self.cured = False

    async def run(self, ctx: WorkflowContext) -> None:
        await ctx.step("first", leave_row, "first")
        await ctx.step("deadly", self.deadly)

    async def deadly(self, step: Step) -> None:
        if not self.cured and step.workflow_id == KEY.id:
            self.deaths += 1
            raise Cut


async def die(world: World, poison: Poison, attempt: int) -> str:
    """One delivery to a fresh process."""
    try:
        return await world.process(poison.run).start(attempt)
    except Cut:
        await world.pass_seconds(LOST_SECONDS)
        return "died"


@pytest.mark.rule("engine-23")
async def test_ten_claims_without_progress_end_it_errored_and_list_it(world: World) -> None:
    poison = Poison()
    outcomes = [await die(world, poison, attempt) for attempt in range(1, 13)]
    # The first delivery left nothing, the second finished a step: from there on ten.
    assert outcomes == ["died"] * 11 + ["errored"]
    status = await world.status()
    assert status.error is not None
    assert (status.status, status.error.name) == (Status.ERRORED, "poisoned")
    assert await world.effects() == ["first"]
    assert await world.letters() == [("workflows.free.start", "poisoned")]
    assert await die(world, poison, 13) == "ended"
    assert poison.deaths == 11


@pytest.mark.rule("engine-23")
async def test_expired_leases_count_without_any_redelivery(world: World) -> None:
    poison = Poison()
    assert await die(world, poison, 2) == "died"
    outcomes: list[str] = []
    while "errored" not in outcomes:
        try:
            # A wake, and always a new one: NATS knows of no redelivery.
            outcomes.append(await world.process(poison.run).wake())
        except Cut:
            await world.pass_seconds(LOST_SECONDS)
            outcomes.append("died")
    assert outcomes == ["died"] * 9 + ["errored"]


@pytest.mark.rule("engine-23")
async def test_progress_begins_the_count_anew(world: World) -> None:
    steps = 0

    async def die_once_each(step: Step, number: int) -> str:
        nonlocal steps
        if steps == number:
            steps += 1
            raise Cut
        return await leave_row(step, str(number))

    async def run(ctx: WorkflowContext) -> None:
        for number in range(15):
            await ctx.step("step", die_once_each, number)

    outcomes: list[str] = []
    while "complete" not in outcomes:
        try:
            outcomes.append(await world.process(run).start(2))
        except Cut:
            await world.pass_seconds(LOST_SECONDS)
    assert await world.effects() == [str(number) for number in range(15)]


@pytest.mark.rule("engine-23")
async def test_a_resume_revives_what_poison_ended_where_it_was(world: World) -> None:
    poison = Poison()
    for attempt in range(1, 13):
        await die(world, poison, attempt)
    poison.cured = True
    process = world.process(poison.run)
    assert await process.rig.control(*KEY, Action.RESUME) == "complete"
    assert await world.effects() == ["first"]
    status = await world.status()
    assert (status.status, status.error) == (Status.COMPLETE, None)


@pytest.mark.rule("engine-23")
async def test_from_the_third_claim_it_runs_alone_and_then_the_others_go_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    poison = Poison()
    for attempt in (1, 2, 3, 4):
        assert await die(world, poison, attempt) == "died"
    poison.cured = True
    inside: set[str] = set()
    beside: dict[str, set[str]] = {}
    entered, leave = asyncio.Event(), asyncio.Event()

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("first", leave_row, "first")
        await ctx.step("deadly", look)

    async def look(step: Step) -> None:
        inside.add(step.workflow_id)
        beside[step.workflow_id] = set(inside)
        if step.workflow_id == "before":
            entered.set()
            await leave.wait()
        for _ in range(20):
            # Whoever is let in meanwhile is seen.
            await asyncio.sleep(0)
            beside[step.workflow_id] |= inside
        inside.discard(step.workflow_id)

    rig = world.process(run).rig
    before = asyncio.create_task(rig.start(StartFree(id="before")))
    await entered.wait()
    solitary = asyncio.create_task(rig.start(StartFree(id=KEY.id), attempt=5))
    async with asyncio.timeout(10):
        while "workflow_runs_alone" not in caplog.text:  # noqa: ASYNC110 - the log alone tells
            await asyncio.sleep(0)
    after = [asyncio.create_task(rig.start(StartFree(id=f"after-{n}"))) for n in range(5)]
    leave.set()
    assert await asyncio.gather(before, solitary, *after) == ["complete"] * 7
    assert beside[KEY.id] == {KEY.id}
    assert all(KEY.id not in others for name, others in beside.items() if name != KEY.id)


@pytest.mark.rule("engine-23")
async def test_a_run_that_hangs_keeps_neither_the_poisoned_one_nor_the_others_waiting(
    world: World,
) -> None:
    poison = Poison()
    for attempt in (1, 2, 3, 4):
        assert await die(world, poison, attempt) == "died"
    poison.cured = True
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hang(step: Step) -> None:
        if step.workflow_id == "hung":
            entered.set()
            await leave.wait()

    async def run(ctx: WorkflowContext) -> None:
        await ctx.step("first", leave_row, "first")
        await ctx.step("deadly", hang)

    settings = EngineSettings(lease_seconds=20, segment_seconds=10, solitary_wait_seconds=0.01)
    rig = world.process(run, settings=settings).rig
    hung = asyncio.create_task(rig.start(StartFree(id="hung")))
    await entered.wait()
    solitary = rig.start_delivery(StartFree(id=KEY.id), attempt=5)
    async with asyncio.timeout(10):
        assert await rig.executor.deliver(solitary) == "crowded"
        assert await rig.start(StartFree(id="after")) == "complete"
    assert (solitary.settled, solitary.delay_seconds) == ("nak", settings.longest_nak_seconds)
    leave.set()
    assert await hung == "complete"
    # To wait was no claim: its count has not grown.
    loaded = await world.store.load(KEY)
    assert loaded is not None
    assert loaded[0].claims_without_progress == 2
    assert await rig.start(StartFree(id=KEY.id), attempt=6) == "complete"
