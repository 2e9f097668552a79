"""What has been kept long enough, taken away a batch at a time (engine rule 17)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from shared.postgres.store import ACQUIRE_SECONDS
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble
from shared.workflow.records import InstanceKey

# Without its input nothing can run it again: a run from the top would do everything twice.
RETIRE = """
    WITH old AS (
        SELECT kind, id FROM workflow_instances
        WHERE finished_at < $1 AND retired_at IS NULL
            AND status IN ('complete', 'errored', 'terminated')
        ORDER BY finished_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ), emptied AS (
        DELETE FROM workflow_journal AS j USING old WHERE j.kind = old.kind AND j.id = old.id
    ), read AS (
        DELETE FROM inbox AS b USING old WHERE b.kind = old.kind AND b.id = old.id
    )
    UPDATE workflow_instances AS i SET
        retired_at = $2, input = 'null', output = NULL,
        error = CASE WHEN i.error IS NOT NULL THEN json_build_object(
            'name', i.error->'name', 'message', 'no longer kept', 'step', i.error->'step') END
    FROM old WHERE i.kind = old.kind AND i.id = old.id
    RETURNING 1
"""

SHOWN = """
    SELECT kind, id, generation, version FROM workflow_instances
    WHERE retired_at IS NOT NULL AND NOT status_deleted ORDER BY retired_at LIMIT $1
"""

MARK_STATUS_DELETED = """
    UPDATE workflow_instances AS i SET status_deleted = true
    FROM unnest($1::text[], $2::text[]) AS k(kind, id) WHERE i.kind = k.kind AND i.id = k.id
"""

EXPIRED = """
    SELECT kind, id, generation, version FROM workflow_instances
    WHERE retired_at < $1 AND status_deleted ORDER BY retired_at LIMIT $2
"""

FORGET_INSTANCES = """
    DELETE FROM workflow_instances AS i USING unnest($1::text[], $2::text[]) AS k(kind, id)
    WHERE i.kind = k.kind AND i.id = k.id AND i.retired_at IS NOT NULL
"""

FORGET_SENT = """
    DELETE FROM outbox WHERE seq = ANY(ARRAY(
        SELECT seq FROM outbox
        WHERE sent_at < $1
        ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED))
    RETURNING 1
"""

FIRST_END = """
    SELECT finished_at FROM workflow_instances
    WHERE finished_at IS NOT NULL AND retired_at IS NULL
        AND status IN ('complete', 'errored', 'terminated')
    ORDER BY finished_at LIMIT 1
"""

FIRST_SENT = "SELECT sent_at FROM outbox WHERE sent_at IS NOT NULL ORDER BY sent_at LIMIT 1"

FORGET_RESULTS = """
    DELETE FROM request_results WHERE (request, key) IN (
        SELECT request, key FROM request_results
        WHERE created_at < statement_timestamp() - make_interval(days => $1)
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

# Of instances that never came; what others have read goes with their journal.
FORGET_READ = """
    DELETE FROM inbox WHERE seq IN (
        SELECT b.seq FROM inbox AS b
        WHERE b.read_at < statement_timestamp() - make_interval(days => $1) AND NOT EXISTS (
            SELECT FROM workflow_instances AS i WHERE i.kind = b.kind AND i.id = b.id)
        ORDER BY b.read_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

FORGET_LETTERS = """
    DELETE FROM dead_letters WHERE id IN (
        SELECT id FROM dead_letters WHERE occurred_at < $1
        ORDER BY occurred_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

OPEN_LETTERS = "SELECT count(*) FROM dead_letters WHERE settled_at IS NULL"


class Retired(msgspec.Struct, frozen=True):
    """An instance whose journal is gone, and the order of its last status."""

    key: InstanceKey
    order: tuple[int, int]


class RetentionStore:
    """Each method takes one batch of `limit` at most, and says how many it was.

    All raise Transient while PostgreSQL is away.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def retire(self, finished_before: datetime, now: datetime, limit: int) -> int:
        """Deletes journals and bodies of instances that ended before the instant."""
        return await self._count(RETIRE, finished_before, now, limit)

    async def shown(self, limit: int) -> list[Retired]:
        """Retired instances whose status key is not known to be gone."""
        return await self._retired(SHOWN, limit)

    async def mark_status_deleted(self, retired: Iterable[Retired]) -> None:
        """Takes them off that list."""
        await self._each(MARK_STATUS_DELETED, retired)

    async def expired(self, retired_before: datetime, limit: int) -> list[Retired]:
        """Instances that were retired before the instant."""
        return await self._retired(EXPIRED, retired_before, limit)

    async def forget_instances(self, retired: Iterable[Retired]) -> None:
        """Deletes their rows: nobody knows their ids any more."""
        await self._each(FORGET_INSTANCES, retired)

    async def first_end(self) -> datetime | None:
        """When the first ended of those that are not retired."""
        return await self._instant(FIRST_END)

    async def forget_sent(self, sent_before: datetime, limit: int) -> int:
        """Deletes messages that were sent before the instant of machine time."""
        return await self._count(FORGET_SENT, sent_before, limit)

    async def first_sent(self) -> datetime | None:
        """When the oldest sent message was sent, in machine time."""
        return await self._instant(FIRST_SENT)

    async def machine_now(self) -> datetime:
        """The database's own clock."""
        async with self._connection() as connection:
            now: datetime = await connection.fetchval("SELECT clock_timestamp()")
            return now

    async def forget_results(self, days: int, limit: int) -> int:
        """Deletes remembered replies that are so many days of machine time old."""
        return await self._count(FORGET_RESULTS, days, limit)

    async def forget_read(self, days: int, limit: int) -> int:
        """Deletes messages in inboxes of instances that never came, read so many days of machine
        time ago."""
        return await self._count(FORGET_READ, days, limit)

    async def forget_letters(self, occurred_before: datetime, limit: int) -> int:
        """Deletes dead letters from before the instant."""
        return await self._count(FORGET_LETTERS, occurred_before, limit)

    async def open_letters(self) -> int:
        """How many dead letters nobody has replayed or discarded."""
        async with self._connection() as connection:
            return int(await connection.fetchval(OPEN_LETTERS))

    async def _count(self, statement: str, *args: object) -> int:
        async with self._connection() as connection:
            return len(await connection.fetch(statement, *args))

    async def _instant(self, statement: str) -> datetime | None:
        async with self._connection() as connection:
            found: datetime | None = await connection.fetchval(statement)
            return found

    async def _retired(self, statement: str, *args: object) -> list[Retired]:
        async with self._connection() as connection:
            found = await connection.fetch(statement, *args)
        return [
            Retired(InstanceKey(row["kind"], row["id"]), (row["generation"], row["version"]))
            for row in found
        ]

    async def _each(self, statement: str, retired: Iterable[Retired]) -> None:
        keys = [each.key for each in retired]
        async with self._connection() as connection:
            await connection.execute(
                statement, [key.kind for key in keys], [key.id for key in keys]
            )

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("retention"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection
