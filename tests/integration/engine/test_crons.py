"""Crons under whole services: replicas side by side, outages, pauses, changes of clocks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from nats.aio.client import Client

from shared.jetstream.connection import connect
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import Message
from shared.messages.problems import Refused
from shared.messages.schedules import AllSchedules, BySchedule, Schedule, Schedules
from shared.messages.workflows import Accepted
from shared.runtime.crons import CronsChanged
from shared.runtime.definition import ServiceDefinition
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.service import Service
from shared.testing.clocks import ManualClock
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.crons import Cron
from shared.workflow.registry import register
from tests.integration.engine.conftest import MakePlace, Place, StartService

M = TypeVar("M", bound=Message)

NIGHTLY = Cron("nightly", StartSample(steps=1), "0 3 * * *")
EVENING = datetime(2026, 3, 1, 20, tzinfo=UTC)


async def runs(place: Place) -> list[str]:
    """The ids of the cron's instances."""
    found = await place.fetch(
        "SELECT id FROM workflow_instances WHERE id LIKE 'nightly-%' ORDER BY id"
    )
    return [workflow_id for (workflow_id,) in found]


def nightly(*days: int) -> list[str]:
    return [f"nightly-202603{day:02}T030000Z" for day in days]


async def until_moved(place: Place, next_at: datetime) -> None:
    """Returns once the cron's next nominal time is that."""
    await place.until("SELECT next_at = $1 FROM crons WHERE name = 'nightly'", next_at)


@pytest.mark.rule("engine-28")
async def test_two_replicas_start_one_run_per_nominal_time(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(nats_url)
    for _ in range(2):
        await start_service(place, crons=[NIGHTLY], clock=clock)
    await until_moved(place, datetime(2026, 3, 2, 3, tzinfo=UTC))
    for day in range(2, 7):
        clock.set(datetime(2026, 3, day, 3, tzinfo=UTC))
        await place.until_ended(day - 1)
    await place.until_settled()
    assert await runs(place) == nightly(2, 3, 4, 5, 6)
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []


@pytest.mark.rule("engine-28")
async def test_a_run_knows_its_nominal_time_and_who_started_it(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(nats_url)
    await start_service(place, crons=[NIGHTLY], clock=clock)
    await until_moved(place, datetime(2026, 3, 2, 3, tzinfo=UTC))
    clock.set(datetime(2026, 3, 2, 3, 0, 7, tzinfo=UTC))
    await place.until_ended(1)
    assert await place.fetch(
        "SELECT actor, created_at, input->>'triggerTime', input->>'steps' FROM workflow_instances"
    ) == [("cron:nightly", clock.now(), "2026-03-02T03:00:00Z", "1")]


@pytest.mark.rule("engine-28")
async def test_an_outage_over_nominal_times_is_made_up_for_by_one_run_of_the_latest(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(nats_url)
    replicas = [await start_service(place, crons=[NIGHTLY], clock=clock) for _ in range(2)]
    await until_moved(place, datetime(2026, 3, 2, 3, tzinfo=UTC))
    for replica in replicas:
        await replica.stop()
    clock.set(datetime(2026, 3, 5, 9, tzinfo=UTC))
    for _ in range(2):
        await start_service(place, crons=[NIGHTLY], clock=clock)
    await place.until_ended(1)
    assert await runs(place) == nightly(5)
    clock.set(datetime(2026, 3, 6, 3, tzinfo=UTC))
    await place.until_ended(2)
    assert await runs(place) == nightly(5, 6)


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize(
    ("first_day", "expected"),
    [
        # 02:30 in Berlin. It does not exist on 29 March, and is there twice on 25 October.
        (datetime(2026, 3, 27, tzinfo=UTC), ["28T013000Z", "29T010000Z", "30T003000Z"]),
        (datetime(2026, 10, 23, tzinfo=UTC), ["24T003000Z", "25T003000Z", "26T013000Z"]),
    ],
)
async def test_a_day_of_23_or_25_hours_has_one_run(
    nats_url: str,
    make_place: MakePlace,
    start_service: StartService,
    first_day: datetime,
    expected: list[str],
) -> None:
    clock = ManualClock(first_day + timedelta(hours=12))
    place = await make_place(nats_url)
    cron = Cron("nightly", StartSample(steps=1), "30 2 * * *", "Europe/Berlin")
    for _ in range(2):
        await start_service(place, crons=[cron], clock=clock)
    for _ in range(3 * 48):
        # Every half hour is looked at by both, so that nothing is merely collapsed.
        await place.until("SELECT bool_and(next_at > $1) FROM crons", clock.now())
        clock.advance(timedelta(minutes=30))
    await place.until_ended(3)
    found = [workflow_id.removeprefix("nightly-")[6:] for workflow_id in await runs(place)]
    assert found == expected


@pytest.mark.rule("engine-28")
async def test_what_came_due_while_nats_was_away_is_started_once_when_it_is_back(
    own_nats: EmbeddedNats, make_place: MakePlace, start_service: StartService
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(own_nats.url)
    await start_service(place, crons=[NIGHTLY], clock=clock)
    await until_up(place)
    await own_nats.kill()
    clock.set(datetime(2026, 3, 2, 3, tzinfo=UTC))
    await until_moved(place, datetime(2026, 3, 3, 3, tzinfo=UTC))
    assert await runs(place) == []
    await own_nats.start()
    await place.until_ended(2)
    await place.until_settled()
    assert await runs(place) == nightly(2)
    assert await place.doubled() == []


class Operator:
    """Asks the service about its one schedule."""

    def __init__(self, client: Client):
        self._requests = Requests(client)

    async def do(self, command: str, reply: type[M], key: str | None = None) -> M:
        """Carries out a command about the schedule."""
        headers = {subjects.ACTOR: "alice"}
        if key is not None:
            headers[subjects.IDEMPOTENCY_KEY] = key
        subject = subjects.command("sample", command)
        return await self._requests.request(subject, BySchedule(name="nightly"), reply, headers)

    async def look(self) -> Schedule:
        """The schedule as it is listed."""
        subject = subjects.query("sample", "schedules")
        [schedule] = (await self._requests.request(subject, AllSchedules(), Schedules)).schedules
        return schedule


@pytest.fixture
async def operator(nats_url: str) -> AsyncIterator[Operator]:
    client = await connect(nats_url, "operator")
    yield Operator(client)
    await client.close()


async def until_up(place: Place) -> None:
    """Returns once a service carries out what it is sent, requests among it."""
    await place.publish([StartSample(id="up", steps=1)])
    await place.until("SELECT count(*) = 1 FROM workflow_instances WHERE status = 'complete'")


@pytest.mark.rule("engine-28")
async def test_what_comes_during_a_pause_is_left_out_and_the_next_time_is_next(
    nats_url: str, make_place: MakePlace, start_service: StartService, operator: Operator
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(nats_url)
    first, second = [await start_service(place, crons=[NIGHTLY], clock=clock) for _ in range(2)]
    await until_up(place)
    paused = await operator.do("pause_schedule", Schedule)
    assert (paused.paused_at, paused.paused_by, paused.next_at) == (EVENING, "alice", None)
    clock.set(datetime(2026, 3, 4, 3, tzinfo=UTC))
    again = await operator.do("pause_schedule", Schedule)
    assert again == paused == await operator.look()
    # A deployment: all replicas end and start, and the pause is as it was.
    await first.stop()
    await second.stop()
    await start_service(place, crons=[NIGHTLY], clock=clock)
    await place.publish([StartSample(id="still-up", steps=1)])
    await place.until_ended(2)
    assert await operator.look() == paused
    resumed = await operator.do("resume_schedule", Schedule)
    assert (resumed.paused_at, resumed.paused_by) == (None, None)
    assert resumed.next_at == datetime(2026, 3, 5, 3, tzinfo=UTC)
    assert await operator.do("resume_schedule", Schedule) == resumed
    clock.set(datetime(2026, 3, 5, 3, tzinfo=UTC))
    await place.until_ended(3)
    assert await runs(place) == nightly(5)
    assert (await operator.look()).last_at == resumed.next_at


@pytest.mark.rule("engine-28")
async def test_a_schedule_that_is_triggered_runs_now_and_goes_on_at_its_time(
    nats_url: str, make_place: MakePlace, start_service: StartService, operator: Operator
) -> None:
    clock = ManualClock(EVENING)
    place = await make_place(nats_url)
    await start_service(place, crons=[NIGHTLY], clock=clock)
    await until_up(place)
    before = await operator.look()
    first = await operator.do("trigger_schedule", Accepted, "once")
    assert await operator.do("trigger_schedule", Accepted, "once") == first
    await operator.do("pause_schedule", Schedule)
    second = await operator.do("trigger_schedule", Accepted)
    await operator.do("resume_schedule", Schedule)
    await place.until_ended(3)
    await place.until_settled()
    assert await runs(place) == sorted([first.workflow_id, second.workflow_id])
    assert await operator.look() == before
    assert await place.fetch(
        "SELECT DISTINCT actor, input->>'triggerTime' FROM workflow_instances WHERE id <> 'up'"
    ) == [("alice", "2026-03-01T20:00:00Z")]


async def test_a_schedule_that_is_not_there_is_refused(
    nats_url: str, make_place: MakePlace, start_service: StartService, operator: Operator
) -> None:
    place = await make_place(nats_url)
    await start_service(place)
    await until_up(place)
    for command in ("pause_schedule", "resume_schedule", "trigger_schedule"):
        with pytest.raises(Refused) as refused:
            await operator.do(command, Message)
        assert (refused.value.code, refused.value.status) == ("schedule_not_found", 404)


@pytest.mark.rule("engine-28")
async def test_a_service_whose_crons_changed_without_a_new_revision_does_not_start(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    await start_service(place, crons=[NIGHTLY])
    await until_up(place)
    changed = Cron("nightly", StartSample(steps=1), "0 4 * * *")
    definition = ServiceDefinition(
        "sample", [register(StartSample, SampleWorkflow())], crons=[changed], crons_revision=1
    )
    with pytest.raises(CronsChanged, match="set `crons_revision` to 2"):
        await Service(definition, place.settings()).run()
