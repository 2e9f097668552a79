"""One scheduler beside another on a real PostgreSQL, cut off at will; and what builds declare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest

from shared.messages.schedules import BySchedule
from shared.messages.workflows import Trigger
from shared.postgres.crons import CronStore
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.crons import CronsChanged, declare
from shared.runtime.handling import Work
from shared.runtime.outbox import Outbox
from shared.runtime.relay import Relay
from shared.runtime.scheduler import Scheduler
from shared.runtime.schedules import ScheduleHandlers
from shared.testing.clocks import ManualClock
from shared.testing.faults import Cut, Faults, FaultyPublisher
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.samples import StartSample
from shared.workflow.crons import Cron, StoredCron
from shared.workflow.errors import Transient
from shared.workflow.ports import Publisher
from shared.workflow.records import OutboxMessage
from tests.integration.engine.conftest import MakePlace

EVENING = datetime(2026, 3, 1, 20, tzinfo=UTC)
NIGHT = datetime(2026, 3, 2, 3, tzinfo=UTC)
NIGHTLY = Cron("nightly", StartSample(), "0 3 * * *")
HOURLY = Cron("hourly", StartSample(), "0 * * * *")
RUN = "sample.nightly-20260302T030000Z"


class Yard:
    """A database with crons, and schedulers of several replicas on it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self.pool = pool
        self.clock = ManualClock(EVENING)
        self.publisher = MemoryPublisher()
        self.store = PostgresStore("sample", pool, pool)

    def outbox(self, publisher: Publisher | None = None) -> Outbox:
        return Outbox(self.pool, self.store, publisher or self.publisher)

    def scheduler(
        self, publisher: Publisher | None = None, polling: Sequence[str] = ()
    ) -> Scheduler:
        return Scheduler(self.outbox(publisher), self.clock, interval_seconds=0.1, polling=polling)

    async def declare(self, revision: int, *crons: Cron) -> None:
        await declare(self.outbox(), crons, revision, self.clock.now())

    async def crons(self) -> dict[str, StoredCron]:
        async with self.pool.acquire() as connection:
            return {cron.name: cron for cron in await CronStore(connection).all()}

    async def somebody_waits(self) -> bool:
        """Whether a session waits for a lock."""
        async with self.pool.acquire() as connection:
            waiting: bool = await connection.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        return waiting

    async def next_at(self) -> dict[str, datetime]:
        return {name: cron.next_at for name, cron in (await self.crons()).items()}


@pytest.fixture
async def yard(nats_url: str, make_place: MakePlace) -> AsyncIterator[Yard]:
    place = await make_place(nats_url)
    pool = await create_pool(place.database_url, size=12, name="test", idle_timeout_seconds=30)
    yield Yard(pool)
    pool.terminate()


@pytest.mark.rule("engine-28")
async def test_ticks_at_the_same_instant_start_one_run(yard: Yard) -> None:
    await yard.declare(1, NIGHTLY, HOURLY)
    yard.clock.set(NIGHT)
    started = await asyncio.gather(*(yard.scheduler().tick() for _ in range(10)))
    assert sum(started) == 2
    assert await yard.scheduler().tick() == 0
    assert sorted(yard.publisher.stored) == ["sample.hourly-20260302T030000Z", RUN]


@pytest.mark.rule("engine-28")
async def test_a_tick_neither_waits_for_another_nor_starts_what_that_one_is_about_to(
    yard: Yard,
) -> None:
    await yard.declare(1, NIGHTLY)
    yard.clock.set(NIGHT)
    async with yard.pool.acquire() as connection, connection.transaction():
        [taken] = await CronStore(connection).take_due(NIGHT, 10)
        assert taken.name == "nightly"
        assert await yard.scheduler().tick() == 0
    # The other one died without a commit: the cron is as it was.
    assert await yard.scheduler().tick() == 1
    assert list(yard.publisher.stored) == [RUN]


@pytest.mark.rule("engine-28")
async def test_a_scheduler_killed_between_commit_and_publish_leaves_the_start_to_the_relay(
    yard: Yard,
) -> None:
    await yard.declare(1, NIGHTLY)
    yard.clock.set(NIGHT)
    faults = Faults(at=0)
    with pytest.raises(Cut):
        await yard.scheduler(FaultyPublisher(yard.publisher, faults)).tick()
    assert faults.passed == ["before publish workflows.sample.start"]
    assert yard.publisher.stored == {}
    assert await yard.scheduler().tick() == 0
    relay = Relay(yard.store, yard.publisher, yard.clock, older_than_seconds=0)
    assert await relay.scan() == 1
    assert list(yard.publisher.stored) == [RUN]
    assert await relay.scan() == 0


@pytest.mark.rule("engine-28", "engine-29")
async def test_a_polling_cron_starts_at_its_nominal_times_alone_when_virtual_time_passes_them(
    yard: Yard,
) -> None:
    await yard.declare(1, NIGHTLY, HOURLY)
    scheduler = yard.scheduler(polling=["hourly"])
    yard.clock.set(NIGHT + timedelta(minutes=2))
    assert await scheduler.tick() == 1
    assert list(yard.publisher.stored) == [RUN]
    assert (await yard.next_at())["hourly"] == NIGHT + timedelta(hours=1)
    yard.clock.set(NIGHT + timedelta(hours=1))
    assert await scheduler.tick() == 1
    assert "sample.hourly-20260302T040000Z" in yard.publisher.stored


class Away:
    """A NATS that is not there."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        raise Transient("NATS is away")


@pytest.mark.rule("engine-28")
async def test_without_nats_the_cron_goes_on_and_each_start_waits_in_the_outbox(
    yard: Yard,
) -> None:
    await yard.declare(1, NIGHTLY)
    for day in range(3):
        yard.clock.set(NIGHT + timedelta(days=day))
        assert await yard.scheduler(Away()).tick() == 1
    assert await Relay(yard.store, yard.publisher, yard.clock, older_than_seconds=0).scan() == 3
    assert list(yard.publisher.stored) == [
        f"sample.nightly-202603{day:02}T030000Z" for day in (2, 3, 4)
    ]


@pytest.mark.rule("engine-28")
async def test_the_earliest_next_time_is_told_without_those_that_are_paused(yard: Yard) -> None:
    assert await yard.store.earliest_cron_at() is None
    await yard.declare(1, NIGHTLY, HOURLY)
    assert await yard.store.earliest_cron_at() == EVENING + timedelta(hours=1)
    async with yard.pool.acquire() as connection:
        await CronStore(connection).pause("hourly", EVENING, "alice")
    assert await yard.store.earliest_cron_at() == NIGHT
    async with yard.pool.acquire() as connection:
        await CronStore(connection).pause("nightly", EVENING, "alice")
    assert await yard.store.earliest_cron_at() is None


@pytest.mark.rule("engine-28")
async def test_a_cron_that_this_build_does_not_understand_stops_no_other(yard: Yard) -> None:
    await yard.declare(1, NIGHTLY, HOURLY)
    async with yard.pool.acquire() as connection:
        await connection.execute("UPDATE crons SET time_zone = 'Mars/New' WHERE name = 'hourly'")
    yard.clock.set(NIGHT)
    assert await yard.scheduler().tick() == 1
    assert list(yard.publisher.stored) == [RUN]


@pytest.mark.rule("engine-28")
async def test_a_higher_revision_replaces_the_crons_and_leaves_what_it_does_not_change(
    yard: Yard,
) -> None:
    weekly = Cron("weekly", StartSample(), "0 3 * * MON")
    await yard.declare(1, NIGHTLY, HOURLY, weekly)
    async with yard.pool.acquire() as connection:
        await CronStore(connection).pause("hourly", EVENING, "alice")
    # Past the time of the cron whose times stay, which is still to be started then.
    yard.clock.set(NIGHT + timedelta(minutes=30))
    half_past = Cron("hourly", StartSample(steps=2), "30 * * * *")
    longer = Cron("nightly", StartSample(steps=9), "0 3 * * *")
    await yard.declare(2, longer, half_past)
    assert await yard.next_at() == {
        "nightly": NIGHT,
        "hourly": NIGHT + timedelta(minutes=90),
    }
    stored = await yard.crons()
    assert stored["hourly"].paused_by == "alice"
    assert not stored["hourly"].differs_from(half_past)
    assert not stored["nightly"].differs_from(longer)


@pytest.mark.rule("engine-28")
async def test_an_older_build_that_starts_beside_undoes_nothing(yard: Yard) -> None:
    await yard.declare(1, NIGHTLY, HOURLY)
    later = Cron("nightly", StartSample(), "0 4 * * *")
    new = Cron("new", StartSample(), "0 5 * * *")
    await yard.declare(2, later, new)
    expected = await yard.crons()
    for _ in range(2):
        await yard.declare(1, NIGHTLY, HOURLY)
        await yard.declare(0)
        await yard.declare(2, later, new)
    assert await yard.crons() == expected
    await yard.declare(3)
    await yard.declare(2, later, new)
    assert await yard.crons() == {}


@pytest.mark.rule("engine-28")
async def test_replicas_that_start_at_once_declare_once(yard: Yard) -> None:
    await asyncio.gather(*(yard.declare(1, NIGHTLY, HOURLY) for _ in range(8)))
    assert (await yard.next_at()).keys() == {"nightly", "hourly"}


@pytest.mark.rule("engine-28")
async def test_an_older_build_waits_for_a_newer_one_that_declares_just_now(yard: Yard) -> None:
    async with yard.pool.acquire() as connection:
        async with connection.transaction():
            store = CronStore(connection)
            await store.set_revision(await store.lock_revision() + 2)
            older = asyncio.create_task(yard.declare(1, NIGHTLY))
            async with asyncio.timeout(30):
                while not await yard.somebody_waits():
                    assert not older.done()
        await older
    assert await yard.crons() == {}


@pytest.mark.rule("engine-28")
async def test_to_resume_what_is_not_paused_leaves_out_no_time_that_has_come(yard: Yard) -> None:
    await yard.declare(1, NIGHTLY)
    yard.clock.set(NIGHT)
    async with yard.pool.acquire() as connection, connection.transaction():
        work = Work(connection, yard.clock.now(), "alice", "key")
        await ScheduleHandlers("sample").resume(work, BySchedule(name="nightly"))
    assert await yard.scheduler().tick() == 1


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize(
    ("crons", "names"),
    [
        ([Cron("nightly", StartSample(), "0 4 * * *"), HOURLY], "nightly"),
        ([Cron("nightly", StartSample(), "0 3 * * *", "Europe/Berlin"), HOURLY], "nightly"),
        ([Cron("nightly", StartSample(steps=2), "0 3 * * *"), HOURLY], "nightly"),
        ([NIGHTLY], "hourly"),
        ([NIGHTLY, HOURLY, Cron("new", StartSample(), "0 5 * * *")], "new"),
        ([], "hourly, nightly"),
    ],
)
async def test_a_change_under_the_same_revision_is_refused_and_changes_nothing(
    yard: Yard, crons: list[Cron], names: str
) -> None:
    await yard.declare(1, NIGHTLY, HOURLY)
    expected = await yard.crons()
    with pytest.raises(CronsChanged, match=rf"\({names}\): set `crons_revision` to 2"):
        await yard.declare(1, *crons)
    assert await yard.crons() == expected


class StartOlder(Trigger, frozen=True, kw_only=True):
    kind = "sample"
    service = "sample"

    steps: int = 5


def test_a_field_added_to_the_trigger_is_no_change_of_the_cron() -> None:
    stored = StoredCron(
        name="nightly",
        kind="sample",
        input=msgspec.json.encode(StartOlder()),
        expression="0 3 * * *",
        time_zone="UTC",
        next_at=NIGHT,
    )
    assert not stored.differs_from(NIGHTLY)
    assert stored.differs_from(Cron("nightly", StartSample(steps=4), "0 3 * * *"))
