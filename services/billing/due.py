"""When the sweep will find somebody, for a clock that stands still until then."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import asyncpg

from services.billing.store.sweep import SweepStore
from shared.workflow.crons import Cron, Timetable
from shared.workflow.ports import Clock

INSTANT = timedelta(microseconds=1)


class DueCustomers:
    """See OwnPart: it only tells, and the sweep does what there is to do."""

    name = "due-customers"

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], clock: Clock, sweep: Cron):
        self._pool = pool
        self._clock = clock
        self._times = Timetable(sweep.expression, sweep.time_zone)

    async def run(self) -> None:
        """See OwnPart."""
        await asyncio.Event().wait()

    async def tick(self) -> None:
        """See OwnPart."""

    async def earliest_at(self) -> datetime | None:
        """The first nominal time of the sweep at which a customer is due."""
        async with self._pool.acquire() as connection:
            at = await SweepStore(connection).earliest_look_at()
        # One that is due at a nominal time to come is found at it.
        return None if at is None else self._times.after(max(at - INSTANT, self._clock.now()))
