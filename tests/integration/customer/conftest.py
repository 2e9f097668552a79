"""Fixtures of the customer's workflow on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.billing.store.invariants import INVARIANTS, InvariantStore
from shared.postgres.pool import create_pool
from shared.testing.harness import Harness
from shared.testing.worlds import Servers
from tests.integration.customer.firm import SWEEP, Firm, registrations
from tests.integration.renewal.bench import SQL, Following, sandbox_on


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
        # A period that is over is billed by somebody only where there is a sweep.
        looked_for = INVARIANTS.keys() - {"a_period_over_is_being_billed"}
        async with harness.connection() as connection:
            store = InvariantStore(connection)
            found = [await store.broken(each, harness.now) for each in looked_for]
        assert [each for violations in found for each in violations] == []
    pool.terminate()
