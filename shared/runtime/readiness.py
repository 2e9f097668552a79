"""`queries.<service>.readiness`: whether a replica's database answers it."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import asyncpg

from shared.messages.readiness import Readiness, ReadinessQuery
from shared.runtime.handling import Errand
from shared.runtime.surroundings import Surroundings

DISTRIBUTION = "padawanforge-workflows"
DATABASE_SECONDS = 1.0
"""Less than the 2 s that whoever asks has."""

_SERVER = "SELECT system_identifier::text FROM pg_control_system()"
"""The same for all databases of one server, its standbys included."""


async def postgresql_server(pool: asyncpg.Pool[asyncpg.Record]) -> str:
    """What tells one PostgreSQL server from another. Raises what the pool raises."""
    async with pool.acquire(timeout=DATABASE_SECONDS) as connection:
        server: str = await connection.fetchval(_SERVER, timeout=DATABASE_SECONDS)
        return server


async def readiness(surroundings: Surroundings, _query: ReadinessQuery) -> Readiness:
    """How the replica that answers is."""
    build = version(DISTRIBUTION)
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            server = await postgresql_server(surroundings.pool)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return Readiness(version=build, postgresql="fail")
    return Readiness(version=build, postgresql="pass", postgresql_server=server)


READINESS = Errand("readiness", ReadinessQuery, readiness)
