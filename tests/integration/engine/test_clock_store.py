"""The instant in a service's schema, and what a look there tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shared.postgres.clock import ClockStore
from shared.postgres.store import PostgresStore
from shared.workflow.records import InstanceKey
from tests.conftest import MakeDatabase

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)

INSTANCE = """
    INSERT INTO workflow_instances
        (kind, id, status, input, due_clock, due_at, created_at, updated_at, started_at)
    VALUES ('timer', $1, $2, '{}', $3, $4, $5, $5, $5)
"""


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    pool = await asyncpg.create_pool(await make_database("player"), min_size=0, max_size=4)
    yield pool
    pool.terminate()


@pytest.fixture
def store(pool: asyncpg.Pool[asyncpg.Record]) -> ClockStore:
    return ClockStore(pool)


async def test_a_schema_has_no_instant_until_one_is_begun_and_keeps_it(store: ClockStore) -> None:
    assert await store.instant() is None

    assert await store.begin(NOW) == NOW
    assert await store.begin(NOW + HOUR) == NOW
    assert await store.instant() == NOW


async def test_an_instant_never_goes_back(store: ClockStore) -> None:
    await store.begin(NOW)

    assert await store.advance(NOW + HOUR) == NOW + HOUR
    assert await store.advance(NOW) == NOW + HOUR
    assert await store.instant() == NOW + HOUR


async def test_what_is_due_is_held_and_what_comes_is_told_by_its_earliest_instant(
    store: ClockStore, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    await pool.executemany(
        INSTANCE,
        [
            ("leased", "running", "machine", NOW - HOUR, NOW),
            ("overdue", "waiting", "business", NOW, NOW),
            ("later", "waiting", "business", NOW + 3 * HOUR, NOW),
            ("soon", "waiting", "business", NOW + 2 * HOUR, NOW),
            ("ended", "complete", None, None, NOW),
        ],
    )

    activity = await store.activity(NOW)
    assert (activity.held, activity.due_at) == (2, NOW)
    activity = await store.activity(NOW - HOUR)
    assert (activity.held, activity.due_at) == (1, NOW)


async def test_what_waits_for_another_build_is_no_instant_to_stop_at(
    store: ClockStore, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    await pool.execute(INSTANCE, "mismatched", "paused", "business", NOW + HOUR, NOW)

    assert (await store.activity(NOW)).due_at is None
    assert (await store.activity(NOW + HOUR)).held == 1


async def test_a_writer_is_seen_while_it_is_open_and_counted_when_it_has_ended(
    store: ClockStore, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    before = await store.activity(NOW)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(INSTANCE, "one", "waiting", None, None, NOW)
        during = await store.activity(NOW)
    after = await store.activity(NOW)
    reading = await store.activity(NOW)

    assert (before.open_transactions, during.open_transactions) == (0, 1)
    assert after.open_transactions == 0
    assert after.commits > before.commits
    assert reading.commits == after.commits


async def test_unsent_messages_are_counted(
    store: ClockStore, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    await pool.execute(
        "INSERT INTO outbox (message_id, source, subject, headers, body)"
        " VALUES ('a', 's', 'x', '{}', ''), ('b', 's', 'x', '{}', '')"
    )
    await pool.execute("UPDATE outbox SET sent_at = clock_timestamp() WHERE message_id = 'a'")

    assert (await store.activity(NOW)).unsent == 1


async def test_a_message_of_the_inbox_is_looked_after_once_before_the_clock_goes_on(
    store: ClockStore, pool: asyncpg.Pool[asyncpg.Record]
) -> None:
    await pool.execute(
        "INSERT INTO inbox (kind, id, message_id, category, type, payload, stream, stream_seq,"
        " created_at) VALUES ('timer', 'one', 'm', 'signal', 'paid', '{}', 'S', 1, $1)",
        NOW,
    )
    assert (await store.activity(NOW)).held == 1

    await store.hurry_unread()
    steps = PostgresStore("player", pool, pool)
    assert await steps.take_due(NOW, 10) == [InstanceKey("timer", "one")]
    assert (await store.activity(NOW)).held == 0
