"""What the player service deletes once it has been kept long enough, of all players."""

from __future__ import annotations

from datetime import datetime

from shared.postgres.trouble import transient_trouble
from shared.runtime.keeping import Dataset
from shared.runtime.surroundings import Surroundings

# A completed session counts before it goes, as in the player's own cleanup.
_SESSIONS = """
    SELECT id FROM game_sessions
    WHERE player_uuid IS NOT NULL AND coalesce(ended_at, started_at) < $1
        AND NOT (status = 'completed' AND folded_at IS NULL)
    ORDER BY coalesce(ended_at, started_at) LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_OLDEST_SESSION = """
    SELECT coalesce(ended_at, started_at) FROM game_sessions
    WHERE player_uuid IS NOT NULL AND NOT (status = 'completed' AND folded_at IS NULL)
    ORDER BY coalesce(ended_at, started_at) LIMIT 1
"""
_GUEST_SESSIONS = """
    SELECT id FROM game_sessions
    WHERE player_uuid IS NULL AND coalesce(ended_at, started_at) < $1
    ORDER BY coalesce(ended_at, started_at) LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_OLDEST_GUEST_SESSION = """
    SELECT coalesce(ended_at, started_at) FROM game_sessions
    WHERE player_uuid IS NULL ORDER BY coalesce(ended_at, started_at) LIMIT 1
"""
_OF_AGE = """
    SELECT id FROM {} WHERE created_at < $1
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_OLDEST = "SELECT created_at FROM {} ORDER BY created_at LIMIT 1"


def _delete(table: str, overdue: str) -> str:
    # An array is taken to be short, whatever the table's size: its rows are found by their key.
    return f"DELETE FROM {table} WHERE id = ANY(ARRAY({overdue})) RETURNING 1"  # noqa: S608


STATEMENTS = {
    "sessions": (_delete("game_sessions", _SESSIONS), _OLDEST_SESSION),
    "guest_sessions": (_delete("game_sessions", _GUEST_SESSIONS), _OLDEST_GUEST_SESSION),
    **{
        table: (_delete(table, _OF_AGE.format(table)), _OLDEST.format(table))
        for table in ("messages", "event_logs")
    },
}
"""Of each dataset: what deletes a batch of it, and what finds the age of its oldest row."""


def datasets() -> tuple[Dataset, ...]:
    """Sessions, messages and event logs; statistics are counted apart, and stay."""
    return tuple(_dataset(name, *statements) for name, statements in STATEMENTS.items())


def _dataset(name: str, delete: str, oldest: str) -> Dataset:
    async def take(surroundings: Surroundings, before: datetime, limit: int) -> int:
        async with transient_trouble(name), surroundings.pool.acquire() as connection:
            return len(await connection.fetch(delete, before, limit))

    async def find_oldest(surroundings: Surroundings) -> datetime | None:
        async with transient_trouble(name), surroundings.pool.acquire() as connection:
            found: datetime | None = await connection.fetchval(oldest)
            return found

    return Dataset(name, take, find_oldest)
