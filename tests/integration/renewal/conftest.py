"""Fixtures of billing's workflows on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from shared.postgres.pool import create_pool
from shared.testing.harness import Harness
from shared.testing.servers import Server
from shared.testing.worlds import Servers
from tests.integration.renewal.bench import SQL, Bench, Following, registrations, sandbox_on


@pytest.fixture
async def zone(host_zone: str, postgres_server: Server) -> AsyncIterator[str]:
    """The time zone of the process, and of each session that asks for none of its own."""
    superuser = await asyncpg.connect(postgres_server.url)
    await superuser.execute(f"ALTER ROLE ALL SET timezone TO '{host_zone}'")
    yield host_zone
    await superuser.execute("ALTER ROLE ALL RESET timezone")
    await superuser.close()


@pytest.fixture
async def bench(
    servers: Servers, make_database: Callable[[str], Awaitable[str]]
) -> AsyncIterator[Bench]:
    """The books are in a database of their own, as a provider's are."""
    pool = await create_pool(
        await make_database("billing"), size=4, name="sandbox", idle_timeout_seconds=30
    )
    following = Following()
    sandbox = sandbox_on(pool, following)
    async with Harness.on_servers(
        registrations(following, sandbox), sql=SQL, servers=servers
    ) as harness:
        following.harness = harness
        bench = Bench(harness, sandbox)
        yield bench
        assert await bench.broken() == []
    pool.terminate()
