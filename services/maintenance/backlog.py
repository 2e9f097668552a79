"""Tells how far behind retention is."""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg
import structlog

from services.maintenance.store.retention import RetentionStore
from shared.postgres.trouble import transient_trouble
from shared.runtime import metrics
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

log = structlog.get_logger()

LOOK_SECONDS = 15.0


class Backlog:
    """See OwnPart: each replica tells the same, from the policies' table."""

    name = "retention-backlog"

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], clock: Clock):
        self._pool = pool
        self._clock = clock

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.tick()
            except Transient as error:
                log.warning("backlog_unknown", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def tick(self) -> None:
        """See OwnPart."""
        now = self._clock.now()
        async with transient_trouble("backlog"), self._pool.acquire() as connection:
            policies = await RetentionStore(connection).policies()
        # One that is off is not behind, whatever it was before.
        metrics.RETENTION_BACKLOG_SECONDS.clear()
        for each in policies:
            if each.enabled:
                since = each.overdue_since or now
                age = max(0.0, (now - since).total_seconds())
                metrics.RETENTION_BACKLOG_SECONDS.labels(each.owner, each.name).set(age)

    async def earliest_at(self) -> datetime | None:
        """See OwnPart: it starts nothing."""
        return None
