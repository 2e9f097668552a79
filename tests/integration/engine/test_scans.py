"""What is looked for again and again is found by an index, and nothing else is read for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from shared.postgres import retention, statements
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from tests.conftest import MakeDatabase
from tests.plans import plan_of

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
MANY = "generate_series(1, 3000) AS n"

PARKED = f"""
INSERT INTO workflow_instances
    (kind, id, status, input, created_at, updated_at, started_at, due_clock, due_at)
SELECT 'sample', clock || n, 'waiting', 'null', now(), now(), now(), clock,
       now() + n * interval '1 minute'
FROM {MANY}, unnest(ARRAY['business', 'machine']) AS clock
"""
INBOX = """
INSERT INTO inbox (kind, id, message_id, category, type, payload, stream, stream_seq, created_at,
                   due_at, read_at)
SELECT 'sample', n, n, 'signal', 'go', 'null', 'stream', n, now(), now() + n * interval '1 minute',
"""
UNREAD = f"{INBOX} NULL FROM {MANY}"
READ = f"{INBOX} now() - n * interval '1 minute' FROM {MANY}"
SENT = f"""
INSERT INTO outbox (message_id, source, subject, headers, body, sent_at)
SELECT n, 'sample', 'events', '{{}}', '', now() - n * interval '1 minute' FROM {MANY}
"""
ANSWERED = f"""
INSERT INTO request_results (request, key, body_hash, reply, created_at)
SELECT 'sample', n, '', '', now() - n * interval '1 minute' FROM {MANY}
"""


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    url = await make_database("sample")
    pool = await create_pool(url, size=1, name="test", idle_timeout_seconds=30)
    yield pool
    pool.terminate()


@pytest.mark.parametrize(
    ("fill", "statement", "args"),
    [
        pytest.param(PARKED, statements.TAKE_DUE, (NOW, 500), id="due"),
        pytest.param(UNREAD, statements.TAKE_UNREAD, (500,), id="unread"),
        pytest.param(READ, retention.FORGET_READ, (30, 500), id="read"),
        pytest.param(SENT, retention.FORGET_SENT, (NOW - timedelta(days=3650), 500), id="sent"),
        pytest.param(ANSWERED, retention.FORGET_RESULTS, (30, 500), id="answered"),
    ],
)
@pytest.mark.rule("engine-1")
async def test_a_look_that_finds_nothing_reads_nothing_in_vain(
    pool: asyncpg.Pool[asyncpg.Record], fill: str, statement: str, args: tuple[Any, ...]
) -> None:
    await pool.execute(fill)
    await pool.execute("VACUUM ANALYZE")
    plan = await plan_of(pool, statement, *args)
    assert plan.in_vain == 0
    assert "table" not in plan.scans


PLANS = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"
LOOKS = 12
"""From the sixth on PostgreSQL may keep a plan."""


@pytest.mark.rule("engine-1")
async def test_no_look_is_carried_out_as_was_right_while_the_table_was_empty(
    make_database: MakeDatabase,
) -> None:
    url = await make_database("sample")
    pool = await create_pool(url, size=1, name="test", idle_timeout_seconds=30, plans_anew=True)
    store = PostgresStore("sample", pool, pool)
    for _ in range(LOOKS):
        assert await store.take_due(NOW, 500) == []
    plans = await pool.fetchrow(PLANS, statements.TAKE_DUE)
    assert plans is not None
    assert tuple(plans) == (0, LOOKS)
    pool.terminate()
