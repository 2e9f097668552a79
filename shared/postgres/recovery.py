"""What a recovery reads and raises in a service's schema (engine rules 25 and 26)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager

import asyncpg

from shared.messages import subjects
from shared.postgres import rows, statements
from shared.postgres.store import ACQUIRE_SECONDS
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage

KEYS_AFTER = """
    SELECT kind, id FROM workflow_instances
    WHERE (kind, id) > ($1, $2) AND retired_at IS NULL ORDER BY kind, id LIMIT $3
"""

COUNT = "SELECT count(*) FROM workflow_instances WHERE retired_at IS NULL"

# What a worker's open transaction holds is left for later: neither waits for the other. The fence
# does not look at the generation, so a run goes on, and its next commit returns the new one.
RAISE = """
    WITH free AS (
        SELECT kind, id FROM workflow_instances
        JOIN unnest($1::text[], $2::text[]) AS k(kind, id) USING (kind, id)
        ORDER BY kind, id FOR UPDATE OF workflow_instances SKIP LOCKED
    )
    UPDATE workflow_instances AS i SET generation = generation + 1
    FROM free WHERE i.kind = free.kind AND i.id = free.id
    RETURNING i.kind, i.id
"""

RAISE_ABOVE = """
    UPDATE workflow_instances SET generation = $3 + 1
    WHERE kind = $1 AND id = $2 AND (generation, version) < ($3, $4)
    RETURNING 1
"""

PRESENT = """
    SELECT kind, id FROM workflow_instances
    JOIN unnest($1::text[], $2::text[]) AS k(kind, id) USING (kind, id) WHERE retired_at IS NULL
"""

UNKNOWN = """
    SELECT kind, id FROM unnest($1::text[], $2::text[]) AS k(kind, id)
    WHERE NOT EXISTS (
        SELECT FROM workflow_instances AS i WHERE i.kind = k.kind AND i.id = k.id)
"""

INSTANCES = f"""
    SELECT {statements.INSTANCE_COLUMNS} FROM workflow_instances AS i
    JOIN unnest($1::text[], $2::text[]) AS k(kind, id) USING (kind, id)
"""  # noqa: S608 - composed of constants alone

JOURNALS = f"""
    SELECT kind, id, {statements.ENTRY_COLUMNS} FROM workflow_journal
    JOIN unnest($1::text[], $2::text[], $3::integer[]) AS k(kind, id, run) USING (kind, id, run)
    ORDER BY path, position
"""  # noqa: S608 - composed of constants alone

# Also what nobody has marked: it may have been published to the streams that were lost.
TOLD = """
    SELECT seq, message_id, subject, headers, body FROM outbox
    WHERE seq > $1 AND (subject LIKE $2 OR subject LIKE $3) ORDER BY seq LIMIT $4
"""


class RecoveryStore:
    """All methods raise Transient while PostgreSQL is away."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def count(self) -> int:
        """How many instances have a status to be shown."""
        async with self._connection() as connection:
            return int(await connection.fetchval(COUNT))

    async def keys_after(self, key: InstanceKey, limit: int) -> list[InstanceKey]:
        """The next of them in the order of their keys."""
        async with self._connection() as connection:
            return _keys(await connection.fetch(KEYS_AFTER, key.kind, key.id, limit))

    async def raise_generations(self, keys: Collection[InstanceKey]) -> set[InstanceKey]:
        """Raises them by one; returns those that no worker held."""
        async with self._connection() as connection:
            return set(_keys(await connection.fetch(RAISE, *_columns(keys))))

    async def raise_above(self, key: InstanceKey, generation: int, version: int) -> bool:
        """Raises an instance over a status that knows more commits than its row does."""
        async with self._connection() as connection:
            raised = await connection.fetchval(RAISE_ABOVE, *key, generation, version)
        return raised is not None

    async def present(self, keys: Collection[InstanceKey]) -> list[InstanceKey]:
        """Those that still have a status to be shown."""
        async with self._connection() as connection:
            return _keys(await connection.fetch(PRESENT, *_columns(keys)))

    async def unknown(self, keys: Collection[InstanceKey]) -> set[InstanceKey]:
        """Those that have no row, not even a retired one."""
        async with self._connection() as connection:
            return set(_keys(await connection.fetch(UNKNOWN, *_columns(keys))))

    async def load(self, keys: Collection[InstanceKey]) -> list[tuple[Instance, list[Entry]]]:
        """The instances as they were last committed, with their journals."""
        journals: dict[InstanceKey, list[Entry]] = defaultdict(list)
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await connection.fetch(INSTANCES, *_columns(keys))
            instances = [rows.instance(row) for row in found]
            current = [instance.key for instance in instances]
            runs = [instance.run for instance in instances]
            for row in await connection.fetch(JOURNALS, *_columns(current), runs):
                journals[InstanceKey(row["kind"], row["id"])].append(rows.entry(row))
        return [(instance, journals[instance.key]) for instance in instances]

    async def told_after(self, seq: int, limit: int) -> tuple[list[OutboxMessage], int]:
        """The next events and starts that the outbox still keeps, and the last one's number."""
        async with self._connection() as connection:
            found = await connection.fetch(
                TOLD, seq, subjects.event("%", "%"), subjects.start("%"), limit
            )
        return [rows.message(row) for row in found], found[-1]["seq"] if found else seq

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("recovery"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection


def _keys(found: Sequence[asyncpg.Record]) -> list[InstanceKey]:
    return [InstanceKey(row["kind"], row["id"]) for row in found]


def _columns(keys: Collection[InstanceKey]) -> tuple[list[str], list[str]]:
    return [key.kind for key in keys], [key.id for key in keys]
