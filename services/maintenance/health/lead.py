"""Which replica tells: the one that holds a lock of the database."""

from __future__ import annotations

import asyncpg

from shared.postgres.transaction import PooledConnection, advisory_lock_id
from shared.postgres.trouble import transient_trouble

LOCK = advisory_lock_id("maintenance", "health")
ACQUIRE_SECONDS = 1.0
PATIENCE_ROUNDS = 2
"""A new leader looks on for so many rounds, so that the last one, which may have told something
while the database was away, can write it down first."""

_TAKE = "SELECT pg_try_advisory_lock($1)"
_HELD = "SELECT 1"


class Lead:
    """A session's lock: it ends with the session, and a killed leader has an heir at once.

    While the database is away nobody can take it, and who led goes on.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self._pool = pool
        self._session: PooledConnection | None = None
        self._rounds = 0
        self.leading = False

    async def refresh(self) -> None:
        """Takes the lock, or looks whether the session with it lives.

        Raises Transient while the database is away.
        """
        async with transient_trouble("lead"):
            if self._session is not None:
                await self._look(self._session)
            else:
                await self._take()

    async def _look(self, session: PooledConnection) -> None:
        try:
            await session.execute(_HELD, timeout=ACQUIRE_SECONDS)
        except BaseException:
            # Whoever goes on with a session that may be lost holds a lock that may be lost.
            self._session = None
            await self._end(session)
            raise
        self._rounds += 1
        self.leading = self.leading or self._rounds >= PATIENCE_ROUNDS

    async def _take(self) -> None:
        session = await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        taken = False
        try:
            taken = await session.fetchval(_TAKE, LOCK, timeout=ACQUIRE_SECONDS)
        finally:
            if taken:
                self._session, self._rounds = session, 0
            else:
                await self._end(session)
        self.leading = self.leading and taken

    async def _end(self, session: PooledConnection) -> None:
        # Ended, not given back: in the pool it would keep the lock for whoever gets it.
        session.terminate()
        await self._pool.release(session)
