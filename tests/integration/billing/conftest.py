"""Billing's parts on a PostgreSQL of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from shared.postgres.pool import create_pool
from tests.integration.billing.studio import Studio

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def pool(make_database: MakeDatabase) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Connections to an empty schema of billing."""
    made = await create_pool(
        await make_database("billing"), size=8, name="billing", idle_timeout_seconds=30
    )
    yield made
    made.terminate()


@pytest.fixture
async def studio(pool: asyncpg.Pool[asyncpg.Record]) -> Studio:
    """A studio without customers or plans."""
    return Studio(pool)
