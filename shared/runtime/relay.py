"""Publishes what a writer left in the outbox, and tidies it."""

from __future__ import annotations

import asyncio

import structlog

from shared.postgres.store import PostgresStore
from shared.workflow.errors import Transient
from shared.workflow.ports import Publisher

log = structlog.get_logger()


class Relay:
    """One loop per replica over the unsent rows of the outbox (engine rule 26)."""

    def __init__(
        self,
        store: PostgresStore,
        publisher: Publisher,
        *,
        interval_seconds: float = 0.2,
        older_than_seconds: float = 2.0,
        keep_days: int = 7,
        batch: int = 200,
    ):
        self._store = store
        self._publisher = publisher
        self._interval_seconds = interval_seconds
        self._older_than_seconds = older_than_seconds
        self._keep_days = keep_days
        self._batch = batch

    async def run(self) -> None:
        """Relays until it is cancelled."""
        ticks_between_scans = max(1, round(1.0 / self._interval_seconds))
        tick = 0
        while True:
            try:
                await self._store.flush_sent()
                if tick % ticks_between_scans == 0:
                    await self.scan()
                if tick % (ticks_between_scans * 60) == 0:
                    await self._store.forget(
                        sent_days=self._keep_days, results_days=self._keep_days, limit=1000
                    )
            except Transient as error:
                log.warning("relay_failed", reason=str(error))
            tick += 1
            await asyncio.sleep(self._interval_seconds)

    async def scan(self) -> int:
        """Publishes what is overdue; returns how many messages."""
        relayed = 0
        while True:
            batch = await self._store.relay(
                self._publisher.publish,
                older_than_seconds=self._older_than_seconds,
                limit=self._batch,
            )
            relayed += batch
            if batch < self._batch:
                break
        if relayed:
            log.info("outbox_relayed", messages=relayed)
        return relayed
