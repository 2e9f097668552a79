"""Rolls up what has changed, and says up to when days are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import structlog

from services.maintenance.rules.rollups import (
    KEEP_DAYS,
    STEP,
    bucket_start,
    received_until,
)
from services.maintenance.store.analytics import AnalyticsStore
from shared.messages.maintenance import AnalyticsGrain, AnalyticsProcessed
from shared.postgres.trouble import transient_trouble
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

log = structlog.get_logger()

HOURS = 24
"""Rolled up in one transaction."""
FORGET = 1_000
ACQUIRE_SECONDS = 5
GRAINS: tuple[AnalyticsGrain, ...] = ("hour", "day")


class Rollups:
    """See OwnPart. `caught_up` tells whether every fact that NATS has was taken; it may raise
    Transient."""

    name = "rollups"

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        caught_up: Callable[[], Awaitable[bool]],
        *,
        interval_seconds: float,
    ):
        self._pool = pool
        self._clock = clock
        self._caught_up = caught_up
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.tick()
            except Transient as error:
                log.warning("rollups_failed", reason=str(error))
            await asyncio.sleep(self._interval_seconds)

    async def tick(self) -> AnalyticsProcessed:
        """Rolls up all that is marked. Raises Transient."""
        await self._look()
        buckets = 0
        while done := await self._roll_up():
            buckets += done
        async with self._transaction() as store:
            closed = await store.closed_until()
        if closed is not None:
            await self._forget(closed)
        return AnalyticsProcessed(buckets=buckets, closed_until=closed)

    async def earliest_at(self) -> datetime | None:
        """See OwnPart: what is marked is rolled up at once, whatever the instant."""
        return None

    async def _look(self) -> None:
        # Read first: a fact that comes after the look may be of a later instant only.
        until = received_until(self._clock.now())
        async with self._transaction() as store:
            known = await store.received_until()
        if (known is None or known < until) and await self._caught_up():
            async with self._transaction() as store:
                await store.received(until)

    async def _roll_up(self) -> int:
        """One transaction of it: how many buckets were made anew; 0 where another replica does."""
        async with self._transaction() as store:
            if not await store.hold_rollups():
                return 0
            hours = await store.take_marks(HOURS)
            buckets: set[tuple[AnalyticsGrain, datetime]] = {
                (grain, bucket_start(hour, grain)) for hour in hours for grain in GRAINS
            }
            for grain, start in buckets:
                await store.clear(grain, start)
                await store.compute(grain, start, STEP[grain])
        return len(buckets)

    async def _forget(self, closed: datetime) -> None:
        kept_from = self._clock.now() - timedelta(days=KEEP_DAYS)
        before = min(bucket_start(kept_from, "day"), closed)
        async with self._transaction() as store:
            await store.forget(before, FORGET)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AnalyticsStore]:
        async with (
            transient_trouble("rollups"),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
            connection.transaction(),
        ):
            yield AnalyticsStore(connection)
