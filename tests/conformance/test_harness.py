"""The harness does the same in memory and on servers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.testing.harness import Harness, OpenHarness
from shared.testing.journeys import (
    Approved,
    ErrandWorkflow,
    JourneyWorkflow,
    Outside,
    StartErrand,
    StartJourney,
)
from shared.testing.samples import EFFECTS_SQL, SampleWorkflow, StartSample, StepDone
from shared.testing.sweep import at_every_point
from shared.workflow.crons import Cron
from shared.workflow.registry import Registration, register


def journeys(outside: Outside | None = None) -> list[Registration]:
    return [
        register(StartJourney, JourneyWorkflow(outside or Outside())),
        register(StartErrand, ErrandWorkflow()),
    ]


def samples() -> list[Registration]:
    return [register(StartSample, SampleWorkflow())]


async def journey(open_harness: OpenHarness) -> None:
    outside = Outside()
    async with open_harness(journeys(outside), sql=EFFECTS_SQL) as harness:
        journey = await harness.start(StartJourney())
        await harness.advance(hours=2)
        assert journey.step("approval").status == "waiting"
        await journey.signal(Approved(by="ann"))
        assert journey.output.approved_by == "ann"
        assert list(outside.carried_out.values()) == [1]
        [errand] = await harness.instances("errand")
        assert errand.output == "errand"
        done = sorted(event.step for event in await harness.events(StepDone))
        assert done == ["arrive", "errand", "further", "left", "pack", "right"]


async def test_a_journey_arrives(open_harness: OpenHarness) -> None:
    await journey(open_harness)


async def test_a_journey_arrives_wherever_its_process_is_lost(open_harness: OpenHarness) -> None:
    # On servers tests/faults has every point; this shows that the harness can take them there.
    every = 1 if open_harness == Harness.in_memory else 23
    assert len(await at_every_point(open_harness, journey, every=every)) > 60


async def test_timers_fire_at_their_own_instants_in_order(open_harness: OpenHarness) -> None:
    async with open_harness(samples(), sql=EFFECTS_SQL) as harness:
        begun = harness.now
        late = await harness.start(StartSample(id="late", sleep_seconds=20 * 86_400))
        soon = await harness.start(StartSample(id="soon", sleep_seconds=86_400))
        await harness.advance(days=30)
        assert soon.output.now == (begun + timedelta(days=1)).isoformat()
        assert late.output.now == (begun + timedelta(days=20)).isoformat()
        assert harness.now == begun + timedelta(days=30)


@pytest.mark.rule("engine-28")
async def test_a_cron_starts_a_run_at_each_nominal_time_on_the_way(
    open_harness: OpenHarness,
) -> None:
    nightly = Cron("nightly", StartSample(steps=1), "30 2 * * *", "Europe/Berlin")
    async with open_harness(samples(), sql=EFFECTS_SQL, crons=[nightly]) as harness:
        await harness.advance(hours=12)
        assert await harness.instances("sample") == []
        long = await harness.start(StartSample(id="long", steps=3, sleep_seconds=86_400))
        await harness.advance(days=3)
        runs = [each for each in await harness.instances("sample") if each.id != long.id]
        assert [each.id for each in runs] == [f"nightly-2026030{day}T013000Z" for day in (3, 4, 5)]
        assert [each.document.created_at.isoformat() for each in runs] == [
            f"2026-03-0{day}T01:30:00+00:00" for day in (3, 4, 5)
        ]
        assert {each.status for each in runs} == {"complete"}
        steps = [event.step for event in await harness.events(StepDone)]
        # Between the steps of the other, which slept from midnight to midnight.
        assert steps == ["step_0", "step_1", "step_0", "step_2", "step_0", "step_0"]


async def test_a_cron_needs_its_workflow(open_harness: OpenHarness) -> None:
    hourly = Cron("hourly", StartErrand(), "0 * * * *")
    with pytest.raises(ValueError, match="no workflow of kind 'errand'"):
        async with open_harness(samples(), sql=EFFECTS_SQL, crons=[hourly]):
            pass


async def test_a_double_start_and_a_redelivery_change_nothing(open_harness: OpenHarness) -> None:
    async with open_harness(samples(), sql=EFFECTS_SQL) as harness:
        one = await harness.start(StartSample(id="one", steps=2))
        await harness.start(StartSample(id="one", steps=2))
        await harness.redeliver(one, times=2)
        assert [event.step for event in await harness.events(StepDone)] == ["step_0", "step_1"]


async def test_controls_are_obeyed(open_harness: OpenHarness) -> None:
    async with open_harness(samples(), sql=EFFECTS_SQL) as harness:
        one = await harness.start(StartSample(sleep_seconds=60))
        await one.pause()
        await harness.advance(hours=1)
        assert one.status == "paused"
        await one.resume()
        assert one.status == "complete"
        await one.restart(from_step="step_4")
        assert one.status == "complete"
        steps = [event.step for event in await harness.events(StepDone)]
        assert steps == [f"step_{number}" for number in (0, 1, 2, 3, 4, 4)]
        other = await harness.start(StartSample(sleep_seconds=60))
        await other.terminate()
        assert other.status == "terminated"


async def test_a_terminate_with_rollback_undoes(open_harness: OpenHarness) -> None:
    outside = Outside()
    async with open_harness(journeys(outside), sql=EFFECTS_SQL) as harness:
        journey = await harness.start(StartJourney())
        await journey.terminate(rollback=True)
        assert journey.status == "terminated"
        assert journey.document.rollback == "complete"
        assert len(outside.undone) == 1


async def test_a_step_and_a_compensation_fail_as_often_as_told(open_harness: OpenHarness) -> None:
    async with open_harness(journeys(), sql=EFFECTS_SQL) as harness:
        harness.fail("pack", times=2)
        harness.fail("pack", times=9, undo=True, error=OSError("no hands"))
        journey = await harness.start(StartJourney(fails=True, with_child=False))
        assert journey.step("pack").status == "retrying"
        await harness.advance(seconds=3)
        assert journey.step("pack").attempts == 3
        await journey.signal(Approved())
        await harness.advance(hours=2)
        assert journey.status == "errored"
        assert journey.document.rollback == "failed"
        assert journey.error.message == "no hands"


@pytest.mark.parametrize("point", ["before commit", "after commit", "before publish events.*"])
async def test_another_process_takes_over(open_harness: OpenHarness, point: str) -> None:
    for freeze in (False, True):
        async with open_harness(samples(), sql=EFFECTS_SQL) as harness:
            (harness.freeze_at if freeze else harness.crash_at)(point)
            one = await harness.start(StartSample(steps=2))
            assert one.status == "complete"
            assert len(await harness.events(StepDone)) == 2
            assert "before ack" in harness.points


async def test_what_is_no_command_is_a_dead_letter(open_harness: OpenHarness) -> None:
    async with open_harness(samples(), sql=EFFECTS_SQL) as harness:
        await harness.publish("workflows.sample.start", b'{"steps": "many"}')
        [letter] = await harness.dead_letters()
        assert letter.reason == "undecodable"
        assert letter.body == b'{"steps": "many"}'


async def test_a_lost_call_is_made_again_once_it_can_no_longer_arrive(
    open_harness: OpenHarness,
) -> None:
    outside = Outside()
    lost = [TimeoutError("no answer")]

    async def lose(_: object) -> None:
        if lost:
            raise lost.pop()

    outside.before = lose
    async with open_harness(journeys(outside), sql=EFFECTS_SQL) as harness:
        journey = await harness.start(StartJourney())
        assert journey.step("ticket").status == "complete"
        assert journey.step("ticket").attempts == 2
        assert list(outside.carried_out.values()) == [1]
