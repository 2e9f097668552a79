"""Fixtures of the customer's workflow on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.postgres.invariants import InvariantStore
from shared.postgres.pool import create_pool
from shared.testing.harness import Harness
from shared.testing.worlds import Servers
from tests.integration.customer.firm import SWEEP, Firm, registrations
from tests.integration.renewal.bench import SQL, WITHOUT_A_SWEEP, Following, sandbox_on


@pytest.fixture
def is_swept(request: pytest.FixtureRequest) -> bool:
    """Whether the sweep's cron runs; `pytest.mark.parametrize("is_swept", [True])` has it run."""
    swept: bool = getattr(request, "param", False)
    return swept


@pytest.fixture
async def firm(
    servers: Servers, make_database: Callable[[str], Awaitable[str]], is_swept: bool
) -> AsyncIterator[Firm]:
    """A studio without customers or plans; at the end nothing is as it must never be."""
    pool = await create_pool(
        await make_database("billing"), size=4, name="sandbox", idle_timeout_seconds=30
    )
    following = Following()
    sandbox = sandbox_on(pool, following)
    async with Harness.on_servers(
        registrations(following, sandbox),
        sql=SQL,
        servers=servers,
        crons=[SWEEP] if is_swept else [],
    ) as harness:
        following.harness = harness
        yield Firm(harness, sandbox, pool)
        async with harness.connection() as connection:
            found = await InvariantStore(connection, WITHOUT_A_SWEEP).broken(harness.now)
        assert found.violations == ()
    pool.terminate()
