"""What has ended is taken away in the order that loses nothing: journal, status, row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from nats.aio.client import Client

from shared.jetstream.connection import close, connect
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket, Stored
from shared.messages.retention import ApplyRetention
from shared.messages.workflows import Status
from shared.postgres.pool import create_pool
from shared.postgres.recovery import RecoveryStore
from shared.postgres.retention import RetentionStore
from shared.postgres.store import PostgresStore
from shared.runtime.keeping import apply, of_engine
from shared.runtime.recovery import Recovery
from shared.runtime.retention import INSTANCE_DAYS, LETTER_DAYS, Retention, Statuses
from shared.runtime.surroundings import Surroundings
from shared.testing.faults import Cut
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.records import DeadLetter, InstanceKey
from shared.workflow.registry import register
from tests.integration.engine.conftest import MakePlace

JOURNAL_DAYS = 30


@dataclass
class Bench:
    """A rig on real servers, and retention beside it."""

    rig: Rig
    pool: asyncpg.Pool[asyncpg.Record]
    store: PostgresStore
    statuses: JetStreamStatusBucket

    def retention(self, statuses: Statuses | None = None, *, batch: int = 200) -> Retention:
        return Retention(
            RetentionStore(self.pool),
            statuses or self.statuses,
            self.rig.clock,
            expire_unclaimed=self.store.expire_unclaimed,
            batch=batch,
        )

    async def later(self, days: float) -> None:
        """Moves time on without waking anybody, and takes away what is past its keep."""
        self.rig.clock.advance(timedelta(days=days))
        await self.retire()
        await self.retention().tick()

    async def retire(self, *, batch: int = 1000) -> None:
        """As maintenance asks for it."""
        await self.apply("instances", JOURNAL_DAYS, batch)

    async def apply(self, name: str, days: int, batch: int = 1000) -> None:
        surroundings = Surroundings(clock=self.rig.clock, pool=self.pool, client=Client())
        [dataset] = [each for each in of_engine() if each.name == name]
        asked = ApplyRetention(name=name, keep_seconds=days * 86_400)
        await apply(dataset, surroundings, asked, batch)

    async def value(self, query: str, *args: Any) -> Any:
        return await self.pool.fetchval(query, *args)

    async def stored(self, workflow_id: str) -> Stored | None:
        return await self.statuses.get(InstanceKey("sample", workflow_id))

    async def journal(self) -> int:
        found: int = await self.value("SELECT count(*) FROM workflow_journal")
        return found


@pytest.fixture
async def bench(nats_url: str, make_place: MakePlace) -> AsyncIterator[Bench]:
    place = await make_place(nats_url)
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "retention")
        stack.push_async_callback(close, client)
        pool = await create_pool(place.database_url, size=6, name="test", idle_timeout_seconds=30)
        stack.callback(pool.terminate)
        store = PostgresStore("sample", pool, pool)
        statuses = JetStreamStatusBucket(client)
        rig = Rig(
            [register(StartSample, SampleWorkflow())],
            store=store,
            publisher=JetStreamPublisher(client),
            statuses=statuses,
        )
        yield Bench(rig, pool, store, statuses)


@pytest.mark.rule("engine-17")
async def test_journal_and_status_of_what_ended_go_together_and_the_row_stays(
    bench: Bench,
) -> None:
    await bench.rig.start(StartSample(id="ended"))
    await bench.rig.start(StartSample(id="asleep", sleep_seconds=10**8))
    kept = await bench.journal()
    await bench.later(JOURNAL_DAYS - 0.1)
    assert await bench.journal() == kept
    assert await bench.stored("ended") is not None

    await bench.later(0.2)

    assert await bench.value("SELECT array_agg(DISTINCT id) FROM workflow_journal") == ["asleep"]
    assert await bench.stored("ended") is None
    assert await bench.stored("asleep") is not None
    row = await bench.pool.fetchrow(
        "SELECT kind, status, input, output FROM workflow_instances WHERE id = 'ended'"
    )
    assert row is not None
    assert tuple(row) == ("sample", "complete", "null", None)


@pytest.mark.rule("engine-17")
async def test_of_an_error_the_name_is_kept(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one", fail_step=2, failures=1, final=True))
    await bench.later(JOURNAL_DAYS + 1)
    error = (await bench.rig.status("sample", "one")).error
    assert error is not None
    assert (error.name, error.message, error.step) == ("asked_for", "no longer kept", "step_2")


class CutOff:
    """Statuses of a process that ends before it deletes one."""

    async def delete(self, key: InstanceKey, up_to: tuple[int, int]) -> None:
        raise Cut(f"before the status of {key} goes")


@pytest.mark.rule("engine-17")
async def test_a_process_that_dies_between_journal_and_status_forgets_neither(
    bench: Bench,
) -> None:
    await bench.rig.start(StartSample(id="one"))
    bench.rig.clock.advance(timedelta(days=JOURNAL_DAYS + 1))
    await bench.retire()
    with pytest.raises(Cut):
        await bench.retention(CutOff()).tick()
    assert await bench.journal() == 0
    assert await bench.stored("one") is not None

    await bench.retention().tick()

    assert await bench.stored("one") is None


@pytest.mark.rule("engine-17")
async def test_an_old_duplicate_does_nothing_and_shows_the_outcome_alone(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="one"))
    await bench.later(JOURNAL_DAYS + 1)

    assert await bench.rig.start(StartSample(id="one")) == "ended"

    assert await bench.value("SELECT count(*) FROM effects") == 5
    found = await bench.stored("one")
    assert found is not None
    shown = found.document
    assert (shown.status, shown.output_omitted, shown.steps) == (Status.COMPLETE, True, ())
    assert bytes(shown.output) == b"null"
    await bench.retention().tick()
    assert await bench.stored("one") == found


@pytest.mark.rule("engine-17")
async def test_the_row_goes_400_days_after_its_journal_and_so_does_what_a_duplicate_showed(
    bench: Bench,
) -> None:
    await bench.rig.start(StartSample(id="one"))
    await bench.later(JOURNAL_DAYS + 1)
    await bench.rig.start(StartSample(id="one"))
    await bench.later(INSTANCE_DAYS - 0.1)
    assert await bench.value("SELECT count(*) FROM workflow_instances") == 1
    assert await bench.stored("one") is not None

    await bench.later(0.2)

    assert await bench.value("SELECT count(*) FROM workflow_instances") == 0
    assert await bench.stored("one") is None


@pytest.mark.rule("engine-17")
async def test_replicas_take_away_side_by_side_more_than_fits_one_batch(bench: Bench) -> None:
    for number in range(23):
        await bench.rig.start(StartSample(id=f"{number}"))
    bench.rig.clock.advance(timedelta(days=JOURNAL_DAYS + 1))
    await asyncio.gather(*(bench.retire(batch=5) for _ in range(3)))
    await asyncio.gather(*(bench.retention(batch=5).tick() for _ in range(3)))
    assert await bench.journal() == 0
    assert [await bench.stored(f"{number}") for number in range(23)] == [None] * 23
    assert await bench.value("SELECT bool_and(status_deleted) FROM workflow_instances")


@pytest.mark.rule("engine-17", "engine-25")
async def test_recover_does_not_show_again_what_retention_has_taken_away(bench: Bench) -> None:
    await bench.rig.start(StartSample(id="old"))
    await bench.later(JOURNAL_DAYS + 1)
    await bench.rig.start(StartSample(id="new"))
    recovery = Recovery(
        RecoveryStore(bench.pool),
        bench.statuses,
        MemoryPublisher(),
        lambda _: None,
        kinds=["sample"],
    )
    assert (await recovery.run()).instances == 1
    assert await bench.stored("old") is None


@pytest.mark.rule("engine-26", "engine-27")
async def test_sent_messages_replies_and_letters_are_kept_for_their_time(bench: Bench) -> None:
    await bench.pool.execute(
        "INSERT INTO outbox (message_id, source, subject, headers, body, sent_at) "
        "SELECT n::text, 'test', 's', '{}', '', clock_timestamp() - make_interval(days => n) "
        "FROM generate_series(0, 20) AS n"
    )
    await bench.pool.execute(
        "INSERT INTO request_results (request, key, body_hash, reply, created_at) "
        "SELECT 'r', n::text, '', '', clock_timestamp() - make_interval(days => n) "
        "FROM generate_series(0, 20) AS n"
    )
    for days in (0, LETTER_DAYS - 1, LETTER_DAYS + 1):
        at = bench.rig.clock.now() - timedelta(days=days)
        await bench.store.bury(
            DeadLetter(
                origin=f"{days}", subject="s", headers={}, body=b"", reason="r", detail="d", at=at
            )
        )

    await bench.apply("outbox", 7, batch=3)
    await bench.retention(batch=3).tick()

    # The seventh day is over by the time that it is looked at.
    for table in ("outbox", "request_results"):
        assert await bench.value(f"SELECT count(*) FROM {table}") == 7
    assert await bench.value("SELECT count(*) FROM dead_letters") == 2


def test_what_is_kept_of_the_input_starts_nothing() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"null", type=StartSample)
