"""Each test here runs on every provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.postgres.pool import create_pool
from tests.conformance.payments.bench import Bench
from tests.conformance.payments.sandbox_bench import SandboxBench
from tests.conformance.payments.stripe_bench import StripeBench

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def sandbox_bench(make_database: MakeDatabase) -> AsyncIterator[Bench]:
    """The sandbox with empty books."""
    pool = await create_pool(
        await make_database("billing"), size=4, name="sandbox", idle_timeout_seconds=30
    )
    yield SandboxBench(pool)
    pool.terminate()


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
