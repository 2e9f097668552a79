"""What has been kept long enough is found by its age, however many rows are younger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

import services.player
from services.player.store.retention import STATEMENTS
from shared.postgres import retention
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.testing.servers import Databases
from tests.plans import plan_of

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
MANY = 10_000
OVERDUE = 400
BEFORE = NOW - timedelta(minutes=MANY - OVERDUE)

# A row of each a minute, beside what no policy may take away: sessions that do not count yet,
# messages that are not sent, instances that have not ended.
FILL = f"""
CREATE TEMPORARY VIEW minutes AS
SELECT n, '{NOW}'::timestamptz - n * interval '1 minute' AS at FROM generate_series(1, {MANY}) AS n;
INSERT INTO players (uuid, created_at) VALUES (gen_random_uuid(), now());
INSERT INTO game_sessions (id, player_uuid, status, difficulty, started_at, ended_at, score,
                           correct, answered, best_streak, folded_at)
SELECT gen_random_uuid(), player, 'completed', 'normal', at, at, 0, 0, 0, 0, folded_at
FROM minutes, (SELECT uuid, at FROM players, (VALUES (now()), (NULL)) AS folded (at)
               UNION ALL SELECT NULL, NULL) AS of (player, folded_at);
INSERT INTO messages (id, player_uuid, text, created_at)
SELECT gen_random_uuid(), uuid, '', at FROM minutes, players;
INSERT INTO event_logs (player_uuid, event, source_key, created_at)
SELECT uuid, 'sample', n, at FROM minutes, players;
INSERT INTO outbox (message_id, source, subject, headers, body, sent_at)
SELECT n, 'sample', 'events', '{{}}', '', nullif(at, '{NOW}'::timestamptz) FROM minutes;
INSERT INTO workflow_instances (kind, id, status, input, created_at, updated_at, started_at,
                                finished_at)
SELECT 'player', n, status, 'null', at, at, at, CASE WHEN status = 'complete' THEN at END
FROM minutes, LATERAL (VALUES (CASE n % 2 WHEN 0 THEN 'complete' ELSE 'waiting' END)) AS s (status);
INSERT INTO workflow_journal (kind, id, run, path, name, occurrence, position, type, state,
                              attempts, started_at)
SELECT 'player', n, 1, '', 'step', 0, 0, 'step', 'complete', 1, at FROM minutes;
INSERT INTO inbox (kind, id, message_id, category, type, payload, stream, stream_seq, created_at)
SELECT 'player', n, n, 'signal', 'go', 'null', 'stream', n, at FROM minutes;
"""
DELETES = {
    **{name: (delete, (BEFORE, 1000), OVERDUE) for name, (delete, _) in STATEMENTS.items()},
    "outbox": (retention.FORGET_SENT, (BEFORE, 1000), OVERDUE),
    # As few of these as 1,000 are of a million: else PostgreSQL reads all rows in one go.
    "instances": (retention.RETIRE, (BEFORE, NOW, 20), 20),
}
FOUND_BY = {
    "sessions": ["game_sessions_of_age", "game_sessions_pkey"],
    "guest_sessions": ["game_sessions_of_guests", "game_sessions_pkey"],
    "messages": ["messages_of_age", "messages_pkey"],
    "event_logs": ["event_logs_of_age", "event_logs_pkey"],
    "outbox": ["outbox_pkey", "outbox_sent"],
    "instances": [
        "inbox_kind_id_category_message_id_key",
        "workflow_instances_finished",
        "workflow_instances_pkey",
        "workflow_journal_pkey",
    ],
}
OLDEST = {
    **{name: oldest for name, (_, oldest) in STATEMENTS.items()},
    "outbox": retention.FIRST_SENT,
    "instances": retention.FIRST_END,
}


@pytest.fixture(scope="module")
async def pool(databases: Databases) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    own_sql = Path(services.player.__path__[0]) / "sql"
    url = await databases.create("player", {"engine": ENGINE_SQL, "player": own_sql})
    pool = await create_pool(url, size=1, name="test", idle_timeout_seconds=30)
    await pool.execute(FILL)
    await pool.execute("VACUUM ANALYZE")
    yield pool
    pool.terminate()
    await databases.drop(url)


@pytest.mark.parametrize("name", DELETES)
async def test_a_batch_reads_what_it_deletes(pool: asyncpg.Pool[asyncpg.Record], name: str) -> None:
    statement, args, overdue = DELETES[name]
    plan = await plan_of(pool, statement, *args)
    assert (plan.rows, plan.in_vain) == (overdue, 0)
    assert sorted(plan.scans) == FOUND_BY[name]


@pytest.mark.parametrize("name", OLDEST)
async def test_the_oldest_is_one_row_of_an_index(
    pool: asyncpg.Pool[asyncpg.Record], name: str
) -> None:
    plan = await plan_of(pool, OLDEST[name])
    assert (plan.rows, plan.in_vain) == (1, 0)
    assert "table" not in plan.scans
