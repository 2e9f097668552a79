"""Starts instances at the nominal times of crons."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from shared.postgres.crons import CronStore
from shared.runtime import metrics
from shared.runtime.outbox import Outbox
from shared.workflow.crons import StoredCron, Timetable, nominal_id
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock
from shared.workflow.records import OutboxMessage

log = structlog.get_logger()

DOING = "scheduler"


class Scheduler:
    """One loop per replica over the index of `next_at` (engine rule 28)."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        *,
        interval_seconds: float,
        polling: Sequence[str] = (),
        batch: int = 100,
    ):
        """`polling` are the crons that no clock stops for."""
        self._outbox = outbox
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._polling = tuple(polling)
        self._batch = batch

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            started = 0
            try:
                started = await self.tick()
            except Transient as error:
                log.warning("scheduler_failed", reason=str(error))
            if started < self._batch:
                await asyncio.sleep(self._interval_seconds)

    async def tick(self) -> int:
        """Starts what is due now, each cron once however many times it missed; returns how many."""
        now = self._clock.now()
        messages: list[OutboxMessage] = []
        async with self._outbox.transaction(DOING) as connection:
            store = CronStore(connection)
            for cron in await store.take_due(now, self._batch):
                try:
                    nominal_at, next_at = _due(cron, now)
                except ValueError as error:
                    # A newer build's, with a time zone that this one does not have: left to it.
                    log.warning("cron_not_understood", cron=cron.name, reason=str(error))
                    continue
                await store.move(cron.name, nominal_at, next_at)
                if self._passed_over(cron, nominal_at, now):
                    continue
                messages.append(
                    cron.start(
                        nominal_id(cron.name, nominal_at),
                        decided_at=nominal_at,
                        actor=f"cron:{cron.name}",
                        now=now,
                    )
                )
            await self._outbox.enqueue(connection, DOING, messages)
        for message in messages:
            log.info("cron_started", message=message.id)
        metrics.CRON_STARTS.inc(len(messages))
        await self._outbox.publish(messages)
        return len(messages)

    async def earliest_at(self) -> datetime | None:
        """The earliest next nominal time for which a clock stops; None where there is none."""
        async with self._outbox.transaction(DOING) as connection:
            return await CronStore(connection).earliest_at(self._polling)

    def _passed_over(self, cron: StoredCron, nominal_at: datetime, now: datetime) -> bool:
        """Whether virtual time did not stop there, since nothing was due: what is due by now is
        found at the next nominal time, as it is in real time."""
        return self._clock.is_virtual and cron.name in self._polling and nominal_at < now


def _due(cron: StoredCron, now: datetime) -> tuple[datetime, datetime]:
    return Timetable(cron.expression, cron.time_zone).due(cron.next_at, now)
