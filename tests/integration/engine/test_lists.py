"""Pages of instances are complete and cheap, whatever is asked for and whatever comes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shared.messages.instances import (
    LISTED,
    InstancesQuery,
    InstanceSummary,
    ListedStatus,
    TimelineQuery,
)
from shared.postgres.lists import PAGE, ListStore
from shared.postgres.pool import create_pool
from tests.conftest import MakeDatabase
from tests.plans import plan_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 3000
KINDS = ("rare", "sample")

# Ten at each instant, as a virtual clock makes them.
FILL = f"""
INSERT INTO workflow_instances
    (kind, id, status, input, created_at, updated_at, started_at, retired_at)
SELECT CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'sample' END, 'i' || n,
       CASE WHEN n % 500 = 7 THEN 'errored' ELSE 'complete' END, 'null',
       '{NOON}'::timestamptz - n / 10 * interval '1 second', now(), now(),
       CASE WHEN n > {MANY} THEN now() END
FROM generate_series(1, {MANY} * 2) AS n
"""
ADD = """
INSERT INTO workflow_instances (kind, id, status, input, created_at, updated_at, started_at, error)
VALUES ($1, $2, $3, 'null', $4, $4, $4, $5)
"""


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    url = await make_database("sample")
    pool = await create_pool(url, size=1, name="test", idle_timeout_seconds=30)
    yield pool
    pool.terminate()


async def add(
    pool: asyncpg.Pool[asyncpg.Record],
    workflow_id: str,
    at: datetime,
    kind: str = "sample",
    status: str = "complete",
) -> None:
    error = '{"name":"Broken","message":"no"}' if status == "errored" else None
    await pool.execute(ADD, kind, workflow_id, status, at, error)


async def page(
    pool: asyncpg.Pool[asyncpg.Record], query: InstancesQuery, limit: int
) -> list[InstanceSummary]:
    async with pool.acquire() as connection:
        return await ListStore(connection).page(query, limit)


@pytest.mark.parametrize(
    ("kinds", "statuses", "since", "after"),
    [
        pytest.param(KINDS, (), None, False, id="all"),
        pytest.param(KINDS, (), None, True, id="second-page"),
        pytest.param(("rare",), (), None, False, id="rare-kind"),
        pytest.param(KINDS, ("errored",), None, True, id="rare-status"),
        pytest.param(("sample",), ("running",), None, False, id="no-such-status"),
        pytest.param(KINDS, ("complete",), NOON - timedelta(seconds=2), False, id="since"),
    ],
)
async def test_a_page_reads_what_it_shows_and_hardly_more(
    pool: asyncpg.Pool[asyncpg.Record],
    kinds: tuple[str, ...],
    statuses: tuple[str, ...],
    since: datetime | None,
    after: bool,
) -> None:
    await pool.execute(FILL)
    await pool.execute("VACUUM ANALYZE")
    position = (NOON - timedelta(seconds=100), "i1005", "sample") if after else (None,) * 3
    plan = await plan_of(pool, PAGE, list(kinds), list(statuses or LISTED), since, *position, 20)
    assert "table" not in plan.scans
    assert set(plan.scans) == {"workflow_instances_listed"}
    assert plan.in_vain <= 1
    # A look into the index for each kind and status, and a row's page for each that is shown.
    assert plan.pages <= 4 * len(kinds) * len(statuses or LISTED) + 2 * 20


async def test_what_is_created_while_one_turns_pages_moves_nothing(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    expected = [("b", "sample"), ("a", "sample"), ("a", "rare")]
    for workflow_id, kind in expected:
        await add(pool, workflow_id, NOON, kind)
    for number in range(5):
        await add(pool, f"older-{number}", NOON - timedelta(seconds=1 + number))
        expected.append((f"older-{number}", "sample"))
    seen: list[tuple[str, str]] = []
    query = InstancesQuery(kinds=KINDS)
    for turn in range(len(expected)):
        [one] = await page(pool, query, 1)
        seen.append((one.workflow_id, one.kind))
        await add(pool, f"newer-{turn}", NOON + timedelta(seconds=turn))
        query = InstancesQuery(kinds=KINDS, after=one.position)
    assert seen == expected
    assert await page(pool, query, 1) == []


@pytest.mark.parametrize("status", LISTED)
async def test_a_list_is_of_one_status_and_since_an_instant(
    pool: asyncpg.Pool[asyncpg.Record], status: ListedStatus
) -> None:
    for each in LISTED:
        await add(pool, f"{each}-now", NOON, status=each)
        await add(pool, f"{each}-before", NOON - timedelta(seconds=1), status=each)
    found = await page(pool, InstancesQuery(kinds=KINDS, statuses=(status,), since=NOON), 20)
    assert [(each.workflow_id, each.status) for each in found] == [(f"{status}-now", status)]
    assert (found[0].error is not None) == (status == "errored")


async def test_what_is_retired_is_in_no_list(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    await add(pool, "kept", NOON)
    await add(pool, "retired", NOON)
    await pool.execute("UPDATE workflow_instances SET retired_at = now() WHERE id = 'retired'")
    found = await page(pool, InstancesQuery(kinds=KINDS), 20)
    assert [each.workflow_id for each in found] == ["kept"]


async def test_a_timeline_has_operations_of_every_run_and_what_came_in_between(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    await add(pool, "one", NOON)
    await pool.execute(
        """
        INSERT INTO workflow_journal (kind, id, run, path, name, occurrence, position, type, state,
                                      attempts, ordinal, started_at, finished_at, error)
        SELECT 'sample', 'one', run, '', name, 0, position, type, state, run, position,
               $1::timestamptz + make_interval(secs => run * 10 + position), $1, error
        FROM (VALUES (1, 'pay', 0, 'step', 'failed', '{"name":"Broken","message":"no"}'::json),
                     (2, 'pay', 0, 'step', 'complete', NULL),
                     (2, 'new_way', 1, 'patch', 'complete', NULL))
            AS e(run, name, position, type, state, error)
        """,
        NOON,
    )
    await pool.execute(
        """
        INSERT INTO inbox (kind, id, message_id, category, type, payload, actor, stream, stream_seq,
                           created_at, read_at)
        VALUES ('sample', 'one', 'm1', 'control', 'restart', '{}', 'ada', 's', 1,
                $1::timestamptz + interval '15 seconds', now()),
               ('sample', 'one', 'm2', 'signal', 'go', '{"secret":1}', 'bob', 's', 2,
                $1::timestamptz + interval '25 seconds', NULL)
        """,
        NOON,
    )
    async with pool.acquire() as connection:
        store = ListStore(connection)
        found = await store.timeline(TimelineQuery(kind="sample", id="one"))
        second = await store.timeline(TimelineQuery(kind="sample", id="one", run=2))
        assert await store.timeline(TimelineQuery(kind="sample", id="two")) is None
    assert found is not None
    assert second is not None
    assert [(e.category, e.type, e.status, e.run, e.actor) for e in found.entries] == [
        ("operation", "step", "failed", 1, None),
        ("control", "restart", "read", None, "ada"),
        ("operation", "step", "complete", 2, None),
        ("signal", "go", "unread", None, "bob"),
    ]
    failed = found.entries[0]
    assert failed.error is not None
    assert (failed.name, failed.attempts, failed.error.name) == ("pay", 1, "Broken")
    assert [(each.name, each.run) for each in second.entries] == [("pay", 2)]
