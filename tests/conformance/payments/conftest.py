"""Each test here runs on every provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

import services
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.testing.servers import Databases
from tests.conformance.payments.bench import Bench
from tests.conformance.payments.sandbox_bench import SandboxBench
from tests.conformance.payments.stripe_bench import StripeBench


@pytest.fixture(scope="session")
async def sandbox_pool(databases: Databases) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """Connections to a schema of billing."""
    own_sql = Path(services.__path__[0]) / "billing" / "sql"
    url = await databases.create("billing", {"engine": ENGINE_SQL, "billing": own_sql})
    pool = await create_pool(url, size=8, name="sandbox", idle_timeout_seconds=30)
    yield pool
    pool.terminate()
    await databases.drop(url)


@pytest.fixture
async def sandbox_bench(sandbox_pool: asyncpg.Pool[asyncpg.Record]) -> Bench:
    """The sandbox with empty books."""
    await sandbox_pool.execute(
        "TRUNCATE sandbox_customers, sandbox_payments, sandbox_refunds, sandbox_requests,"
        " sandbox_webhooks, sandbox_outages"
    )
    return SandboxBench(sandbox_pool)


@pytest.fixture
async def stripe_bench() -> AsyncIterator[Bench]:
    """Stripe's adapter over an emulator with an empty account."""
    made = StripeBench()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(params=["sandbox", "stripe"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """A provider that knows nobody yet."""
    chosen: Bench = request.getfixturevalue(f"{request.param}_bench")
    return chosen
