"""Virtual time over real processes: months pass in seconds, and nothing is out of its order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from itertools import takewhile

import pytest

from shared.messages import subjects
from shared.messages.clock import ClockQuery, ClockReading, ClockReport, ClockSet
from shared.runtime.virtual.coordinator import Coordinator
from shared.runtime.virtual.members import Members
from shared.workflow.crons import Cron, Timetable, nominal_id
from tests.acceptance.timer_service import SUNDAYS, StartNorth, StartSouth
from tests.acceptance.timers import SERVICES, Firing, Timers, running_timers

DAY = 24


@pytest.fixture(scope="module")
async def timers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Timers]:
    async with running_timers(tmp_path_factory.mktemp("timers")) as timers:
        yield timers


def expected(workflow_id: str, begun: datetime, hours: tuple[int, ...]) -> list[Firing]:
    """What a timer leaves that sleeps so many hours one after another."""
    firings = [Firing(workflow_id, "begun", begun)]
    for each in hours:
        begun += timedelta(hours=each)
        firings.append(Firing(workflow_id, f"after_{each}", begun))
    return firings


def nominal_times(cron: Cron, since: datetime) -> Iterator[datetime]:
    timetable = Timetable(cron.expression, cron.time_zone)
    while True:
        since = timetable.after(since)
        yield since


@pytest.mark.rule("engine-29")
async def test_every_timer_fires_at_its_own_instant_and_in_order_over_all_services(
    timers: Timers,
) -> None:
    plans = {
        "order-dunning": (1 * DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY),
        "order-weeks": (7 * DAY, 8 * DAY, 9 * DAY),
        "order-hours": (5, 20, 100, 200),
        "order-late": (59 * DAY,),
    }
    await timers.start(
        StartNorth(id="order-dunning", hours=plans["order-dunning"]),
        StartNorth(id="order-hours", hours=plans["order-hours"]),
        StartSouth(id="order-weeks", hours=plans["order-weeks"]),
        StartSouth(id="order-late", hours=plans["order-late"]),
        StartSouth(id="order-never", hours=(61 * DAY,)),
        StartSouth(id="order-failing", hours=(2 * DAY,), fail_hours=3),
    )

    begun = await timers.advance(timedelta(days=60))

    firings = await timers.firings("order-")
    instants = [firing.instant for firing in firings]
    assert instants == sorted(instants)
    sundays = list(
        takewhile(lambda at: at <= begun + timedelta(days=60), nominal_times(SUNDAYS, begun))
    )
    assert len(sundays) >= 8
    assert sorted(firings) == sorted(
        [
            *(Firing(nominal_id(SUNDAYS.name, at), "begun", at) for at in sundays),
            *(each for name, hours in plans.items() for each in expected(name, begun, hours)),
            Firing("order-never", "begun", begun),
            *expected("order-failing", begun, (2 * DAY,)),
            Firing("order-failing", "recovered", begun + timedelta(days=2, hours=3)),
        ]
    )


async def test_every_process_has_the_instant_with_two_replicas_and_the_gateway_among_them(
    timers: Timers,
) -> None:
    begun = await timers.advance(timedelta(days=1))

    instants = await timers.instants()
    assert sorted(name.rpartition("-")[0] for name in instants) == [
        "gateway",
        "north",
        "north",
        "south",
    ]
    assert set(instants.values()) == {begun + timedelta(days=1)}


async def test_the_clock_waits_for_a_worker_that_is_long_at_work(timers: Timers) -> None:
    await timers.start(StartNorth(id="long-one", gate="long"))
    await timers.at_the_gate("long-one")
    before = await timers.coordinator.now()
    advancing = asyncio.create_task(timers.advance(timedelta(days=30)))
    watcher = Coordinator(timers.client, SERVICES)
    for _ in range(20):
        look = await watcher.look()
        assert {report.instant for report in look.reports} == {before}

    await timers.open_gate("long")
    await advancing

    assert await timers.firings("long-") == [
        Firing("long-one", "begun", before),
        Firing("long-one", "gated", before),
    ]
    assert await timers.coordinator.now() == before + timedelta(days=30)


async def test_a_month_expires_no_lease_and_robs_no_live_worker(timers: Timers) -> None:
    await timers.start(StartNorth(id="lease-one", gate="lease"))
    await timers.at_the_gate("lease-one")
    before = await timers.coordinator.now()
    owned = "SELECT epoch, lease_until FROM workflow_instances WHERE id = 'lease-one'"
    [claimed] = await timers.fetch("north", owned)
    month = before + timedelta(days=30)

    # Set under the worker's hands, which an advance would never do, and all timekeepers look.
    members = Members(timers.client)
    await members.ask(subjects.clock_set(), ClockSet(instant=month), ClockReading)
    await members.ask(subjects.clock_report(), ClockQuery(agreed=month), ClockReport)

    assert set((await timers.instants()).values()) == {month}
    assert await timers.fetch("north", owned) == [claimed]
    await timers.open_gate("lease")
    await timers.advance(timedelta())
    assert await timers.value("north", owned) == claimed["epoch"]
    assert [firing.name for firing in await timers.firings("lease-")] == ["begun", "gated"]


async def test_a_killed_replica_comes_back_at_the_instant_and_the_journey_goes_on(
    timers: Timers,
) -> None:
    hours = (DAY, DAY + 1, DAY + 2)
    await timers.start(StartNorth(id="killed-one", hours=hours))
    begun = await timers.advance(timedelta(hours=30))

    advancing = asyncio.create_task(timers.coordinator.advance(begun + timedelta(days=5)))
    await timers.processes["north-0"].kill()
    await timers.processes["north-0"].start()
    await advancing

    assert await timers.firings("killed-") == expected("killed-one", begun, hours)
    instants = await timers.instants()
    assert len(instants) == 4
    assert set(instants.values()) == {begun + timedelta(days=5)}


async def test_the_whole_system_comes_back_at_the_instant(timers: Timers) -> None:
    hours = (2 * DAY, 3 * DAY)
    await timers.start(StartSouth(id="whole-one", hours=hours))
    begun = await timers.advance(timedelta(days=3))

    await asyncio.gather(*(each.kill() for each in timers.processes.values()))
    await asyncio.gather(timers.nats.restart(), timers.postgres.restart())
    await asyncio.gather(*(each.start() for each in timers.processes.values()))

    assert set((await timers.instants()).values()) == {begun + timedelta(days=3)}
    await timers.advance(timedelta(days=3))
    assert await timers.firings("whole-") == expected("whole-one", begun, hours)


async def test_a_service_that_was_away_catches_up_with_the_others(timers: Timers) -> None:
    before = await timers.coordinator.now()
    await timers.processes["south-0"].stop()
    await Members(timers.client).ask(
        subjects.clock_set(), ClockSet(instant=before + timedelta(hours=1)), ClockReading
    )

    await timers.processes["south-0"].start()

    assert set((await timers.instants()).values()) == {before + timedelta(hours=1)}
    kept = await timers.value("south", "SELECT instant FROM workflow_clock")
    assert kept == before + timedelta(hours=1)
