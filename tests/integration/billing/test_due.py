"""When virtual time stops for the sweep."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.billing.due import DueCustomers
from shared.messages.workflows import StartBillingSweep
from shared.testing.clocks import ManualClock
from shared.workflow.crons import Cron
from tests.conftest import MakeDatabase
from tests.subscribers import customers, subscriptions

SWEEP = Cron("billing_sweep", StartBillingSweep(), "*/5 * * * *")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("due_minutes", "found_minutes"), [(-7, 5), (0, 5), (10, 10), (11, 15)])
async def test_who_is_due_is_found_at_the_next_nominal_time_or_at_one_that_is_it(
    make_database: MakeDatabase, due_minutes: int, found_minutes: int
) -> None:
    async with asyncpg.create_pool(await make_database("billing"), min_size=0) as pool:
        due = DueCustomers(pool, ManualClock(NOON), SWEEP)
        assert await due.earliest_at() is None
        async with pool.acquire() as connection:
            ids = await customers(connection, 1, NOON)
            await subscriptions(connection, ids, NOON + timedelta(minutes=due_minutes), NOON)
        assert await due.earliest_at() == NOON + timedelta(minutes=found_minutes)
