"""The virtual clock's instant in a service's schema, and what goes on there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from shared.messages.clock import Activity
from shared.postgres.store import ACQUIRE_SECONDS
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble

INSTANT = "SELECT instant FROM workflow_clock"

BEGIN = """
    INSERT INTO workflow_clock AS c (instant) VALUES ($1)
    ON CONFLICT (only_row) DO UPDATE SET instant = c.instant RETURNING instant
"""

ADVANCE = """
    INSERT INTO workflow_clock AS c (instant) VALUES ($1)
    ON CONFLICT (only_row) DO UPDATE SET instant = greatest(c.instant, excluded.instant)
    RETURNING instant
"""

# Ids of transactions are given to those that write, whoever writes; they are read without a table
# and go on after a crash. The sessions tell of the one that writes now: a fused segment, for one.
# What is paused waits for another build, not for an instant: it is woken when it is due, but no
# reason to stop at; else each would be a stop in every half minute of a virtual month.
ACTIVITY = """
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS commits,
        (SELECT count(*) FROM pg_stat_activity
         WHERE backend_xid IS NOT NULL AND usename = current_user
         AND datname = current_database()) AS open_transactions,
        (SELECT count(*) FROM outbox WHERE sent_at IS NULL) AS unsent,
        (SELECT count(*) FROM workflow_instances
         WHERE due_clock = 'machine' OR due_clock = 'business' AND due_at <= $1)
        + (SELECT count(*) FROM inbox WHERE read_at IS NULL AND wakes = 0) AS held,
        (SELECT min(due_at) FROM workflow_instances
         WHERE due_clock = 'business' AND status <> 'paused') AS due_at
"""

# Each message has its instance woken once before the clock goes on: its reader may have been lost.
HURRY_UNREAD = """
    UPDATE inbox SET due_at = clock_timestamp()
    WHERE read_at IS NULL AND wakes = 0 AND due_at > clock_timestamp()
"""


class ClockStore:
    """Of one service; each replica has one over its pool of upkeep. Raises Transient."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def instant(self) -> datetime | None:
        """The instant; None in a schema that has never been on the virtual clock."""
        async with self._connection() as connection:
            found: datetime | None = await connection.fetchval(INSTANT)
        return found

    async def begin(self, instant: datetime) -> datetime:
        """The instant that is kept; `instant` from now on where there was none."""
        async with self._connection() as connection:
            kept: datetime = await connection.fetchval(BEGIN, instant)
        return kept

    async def advance(self, instant: datetime) -> datetime:
        """Keeps `instant` unless a later one is kept; returns which it is."""
        async with self._connection() as connection:
            kept: datetime = await connection.fetchval(ADVANCE, instant)
        return kept

    async def hurry_unread(self) -> None:
        """Has the timekeeper look at new messages of the inbox now, not in some machine seconds."""
        async with self._connection() as connection:
            await connection.execute(HURRY_UNREAD)

    async def activity(self, now: datetime) -> Activity:
        """What goes on at the business instant `now`, as far as one look can tell."""
        async with self._connection() as connection:
            row = await connection.fetchrow(ACTIVITY, now)
        return Activity(**dict(row or {}))

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("clock"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection
