"""Publishes wakes for instances that are due: timers, retries and crash recovery alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from shared.workflow.after_commit import wake
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock, DueInstances, Publisher

log = structlog.get_logger()


class Timekeeper:
    """One loop per replica over the index of `due_at` (engine rule 1)."""

    def __init__(
        self,
        store: DueInstances,
        publisher: Publisher,
        clock: Clock,
        *,
        interval_seconds: float,
        reachable: Callable[[], bool] = lambda: True,
        batch: int = 500,
    ):
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._reachable = reachable
        self._batch = batch

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            taken = 0
            try:
                taken = await self.tick()
            except Transient as error:
                log.warning("timekeeper_failed", reason=str(error))
            if taken < self._batch:
                await asyncio.sleep(self._interval_seconds)

    async def tick(self) -> int:
        """Takes what is due now and publishes a wake for each; returns how many."""
        if not self._reachable():
            # What is taken in vain comes again only after a backoff, longer with every time.
            return 0
        due = await self._store.take_due(self._clock.now(), self._batch)
        if due:
            await self._publisher.publish([wake(key) for key in due])
        return len(due)
