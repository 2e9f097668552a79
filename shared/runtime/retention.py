"""Takes away what no policy decides about: statuses, old instances, unread messages, replies.

What policies decide about is asked for by maintenance: see keeping.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from shared.postgres.retention import RetentionStore, Retired
from shared.runtime import metrics
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock
from shared.workflow.records import InstanceKey

log = structlog.get_logger()

INSTANCE_DAYS = 400
"""How long kind, id and outcome outlive the journal, so that an old duplicate is still known."""
LETTER_DAYS = 400
UNCLAIMED = timedelta(days=1)
"""How long a signal or control waits for an instance to come (engine rule 12); business time."""
RESULT_DAYS = 7


class Statuses(Protocol):
    """The part of the status bucket that retention needs."""

    async def delete(self, key: InstanceKey, up_to: tuple[int, int]) -> None:
        """Takes the key away unless a later document is there. Raises Transient."""
        ...


class Retention:
    """One loop per replica (engine rule 17)."""

    def __init__(
        self,
        store: RetentionStore,
        statuses: Statuses,
        clock: Clock,
        *,
        expire_unclaimed: Callable[[datetime, int], Awaitable[int]],
        interval_seconds: float = 60.0,
        batch: int = 200,
        batches: int = 100,
    ):
        self._store = store
        self._statuses = statuses
        self._clock = clock
        self._expire_unclaimed = expire_unclaimed
        self._interval_seconds = interval_seconds
        self._batch = batch
        self._batches = batches

    async def run(self) -> None:
        """Takes away until it is cancelled."""
        while True:
            try:
                await self.tick()
                metrics.DEAD_LETTERS_OPEN.set(await self._store.open_letters())
            except Transient as error:
                log.warning("retention_failed", reason=str(error))
            await asyncio.sleep(self._interval_seconds)

    async def tick(self) -> None:
        """Takes away what is past its keep now, within a budget of batches for each kind of it."""
        store, batch, now = self._store, self._batch, self._clock.now()
        # The key goes after the commit that deletes the journal, never before (rule 17); a key
        # whose deletion was cut off is still on the list of those that are shown.
        await self._all(self._hide)
        await self._all(self._forget_instances)
        await self._all(lambda: self._expire_unclaimed(now - UNCLAIMED, batch))
        await self._all(lambda: store.forget_read(RESULT_DAYS, batch))
        await self._all(lambda: store.forget_letters(now - timedelta(days=LETTER_DAYS), batch))
        await self._all(lambda: store.forget_results(RESULT_DAYS, batch))

    async def _all(self, take: Callable[[], Awaitable[int]]) -> None:
        for _ in range(self._batches):
            if await take() < self._batch:
                return

    async def _hide(self) -> int:
        retired = await self._store.shown(self._batch)
        await self._delete_statuses(retired)
        await self._store.mark_status_deleted(retired)
        return len(retired)

    async def _forget_instances(self) -> int:
        before = self._clock.now() - timedelta(days=INSTANCE_DAYS)
        retired = await self._store.expired(before, self._batch)
        # A duplicate start has shown some of them again meanwhile.
        await self._delete_statuses(retired)
        await self._store.forget_instances(retired)
        return len(retired)

    async def _delete_statuses(self, retired: Sequence[Retired]) -> None:
        await asyncio.gather(*(self._statuses.delete(each.key, each.order) for each in retired))
