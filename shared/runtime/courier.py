"""Sends what notices are due through their channels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from shared.notify.channel import Channel, NotSent, Undeliverable
from shared.notify.notifier import Notifier
from shared.notify.verdict import MAX_ATTEMPTS, SENT, Verdict, after
from shared.postgres.letters import DueLetter, LetterStore
from shared.runtime import metrics
from shared.workflow.errors import Transient

log = structlog.get_logger()

OUTCOMES = {"sent": "sent", "pending": "retried", "failed": "failed"}


class Courier:
    """Loops of a replica: one that routes notices, and one for each channel, so that one that
    hangs delays no other. At least once: what is not marked as sent is sent again."""

    def __init__(
        self,
        store: LetterStore,
        notifier: Notifier,
        *,
        interval_seconds: float = 1.0,
        grace_seconds: float = 30.0,
        batch: int = 20,
    ):
        self._store = store
        self._notifier = notifier
        self._interval_seconds = interval_seconds
        self._grace_seconds = grace_seconds
        self._batch = batch

    async def run(self) -> None:
        """Sends until it is cancelled."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._repeat(self.route))
            for channel in self._notifier.channels:
                loops.create_task(self._repeat(partial(self.send, channel)))

    async def route(self) -> int:
        """Writes the letters of new notices; returns of how many."""
        return await self._store.route(self._notifier.routes, self._batch)

    async def send(self, channel: Channel) -> int:
        """Sends what is due on a channel; returns how many letters."""
        due = await self._store.claim(
            channel.name,
            # Longer than an attempt can take, so that nobody else makes one meanwhile.
            seconds=channel.timeout_seconds + self._grace_seconds,
            limit=self._batch,
        )
        await asyncio.gather(*(self._carry(channel, letter) for letter in due))
        return len(due)

    async def _repeat(self, tick: Callable[[], Awaitable[int]]) -> None:
        while True:
            done = 0
            try:
                done = await tick()
            except Transient as error:
                log.warning("courier_failed", reason=str(error))
            if done < self._batch:
                await asyncio.sleep(self._interval_seconds)

    async def _carry(self, channel: Channel, letter: DueLetter) -> None:
        verdict = await self._attempt(channel, letter)
        told = log.bind(channel=channel.name, notice=letter.notice_id, attempt=letter.attempt)
        try:
            await self._store.settle(
                letter,
                verdict.state,
                error=verdict.error,
                retry_seconds=verdict.retry_seconds,
            )
        except Transient as error:
            # The claim lapses, and the letter goes out again under the same id.
            told.warning("letter_unmarked", state=verdict.state, reason=str(error))
            return
        metrics.NOTICE_LETTERS.labels(channel.name, OUTCOMES[verdict.state]).inc()
        if verdict.state == "failed":
            told.error("notice_failed", reason=verdict.error)
        else:
            told.info("notice_attempted", state=verdict.state, reason=verdict.error)

    async def _attempt(self, channel: Channel, letter: DueLetter) -> Verdict:
        if letter.attempt > MAX_ATTEMPTS:
            # Each of them was cut off before it could say what became of it.
            return Verdict("failed", f"no outcome of {MAX_ATTEMPTS} attempts is known")
        try:
            await self._notifier.send(channel, letter.notice, letter.created_at)
        except (Undeliverable, NotSent) as error:
            return after(error, letter.attempt)
        return SENT
