"""Gives the room of deleted rows back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from shared.postgres.store import ACQUIRE_SECONDS
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble

# As the server's own autovacuum decides, with a fifth of its share: a table that rows were just
# deleted from need not wait until a fifth of it is gone.
LOOSE = """
    SELECT relname FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND n_dead_tup > 50 + 0.04 * n_live_tup
    ORDER BY relname
"""


class VacuumStore:
    """Both raise Transient while PostgreSQL is away."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool

    async def loose(self) -> list[str]:
        """Tables of the service's schema with many deleted rows in them."""
        async with self._connection() as connection:
            return [row["relname"] for row in await connection.fetch(LOOSE)]

    async def vacuum(self, table: str) -> bool:
        """Vacuums and analyzes a table, outside a transaction; False where somebody holds it."""
        skipped = False

        def listen(_: Any, message: Any) -> None:
            nonlocal skipped
            skipped = skipped or message.sqlstate == asyncpg.LockNotAvailableError.sqlstate

        async with self._connection() as connection:
            connection.add_log_listener(listen)
            try:
                name = await connection.fetchval("SELECT quote_ident($1)", table)
                await connection.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {name}")
            finally:
                connection.remove_log_listener(listen)
        return not skipped

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("vacuum"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection
