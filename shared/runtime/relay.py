"""Publishes what a writer left in the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from shared.jetstream.connection import MessageTooLarge
from shared.postgres.store import PostgresStore
from shared.runtime import metrics
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock, Publisher
from shared.workflow.records import DeadLetter, OutboxMessage

log = structlog.get_logger()


class Relay:
    """One loop per replica over the unsent rows of the outbox (engine rule 26)."""

    def __init__(
        self,
        store: PostgresStore,
        publisher: Publisher,
        clock: Clock,
        *,
        interval_seconds: float = 0.2,
        older_than_seconds: float = 2.0,
        batch: int = 200,
    ):
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._older_than_seconds = older_than_seconds
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
                    metrics.OUTBOX_UNSENT.set(await self._store.unsent_count())
            except Transient as error:
                log.warning("relay_failed", reason=str(error))
            tick += 1
            await asyncio.sleep(self._interval_seconds)

    async def scan(self) -> int:
        """Publishes what is overdue; returns how many messages."""
        relayed = 0
        while True:
            batch = await self._store.relay(
                self._publish,
                older_than_seconds=self._older_than_seconds,
                limit=self._batch,
            )
            relayed += batch
            if batch < self._batch:
                break
        if relayed:
            log.info("outbox_relayed", messages=relayed)
        return relayed

    async def _publish(self, messages: Sequence[OutboxMessage]) -> None:
        try:
            await self._publisher.publish(messages)
        except MessageTooLarge as error:
            # The server allows less than the engine does. What it never takes must not keep the
            # rest from being relayed.
            if len(messages) > 1:
                for message in messages:
                    await self._publish([message])
            else:
                await self._bury(messages[0], str(error))

    async def _bury(self, message: OutboxMessage, detail: str) -> None:
        log.error("message_unsendable", subject=message.subject, message=message.id, detail=detail)
        await self._store.bury(
            DeadLetter(
                origin=f"outbox/{message.id}",
                subject=message.subject,
                headers=message.headers,
                body=message.body,
                reason="too_large",
                detail=detail,
                at=self._clock.now(),
            )
        )
