"""Advances the virtual clock of all processes, from due instant to due instant."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from nats.aio.client import Client

from shared.jetstream.backlog import backlog
from shared.jetstream.connection import jetstream
from shared.messages import subjects
from shared.messages.clock import ClockQuery, ClockReading, ClockReport, ClockSet
from shared.runtime.virtual.decision import Action, Arrived, Look, SetTo, Wait, decide
from shared.runtime.virtual.members import Answers, Members
from shared.workflow.errors import Transient

LOOK_SECONDS = 0.01
"""Between two looks, so that asking leaves room for what is asked about."""
PATIENCE_SECONDS = 60.0
"""Longer than the lease and the wake's backoff that a killed worker leaves behind."""


class Stalled(Exception):
    """The clock cannot go on; the message says why, and what to do."""


@dataclass(frozen=True)
class Journey:
    """What an advance did."""

    stops: int
    """How often the clock was set."""
    deliveries: int


class Coordinator:
    """Of all processes on one NATS; each of `services` must take part."""

    def __init__(
        self,
        client: Client,
        services: Collection[str],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ):
        self._members = Members(client)
        self._js = jetstream(client)
        self._services = services
        self._patience_seconds = patience_seconds

    async def reports(self, agreed: datetime | None = None) -> Answers[ClockReport]:
        """How all processes stand; they wake what is due by `agreed` first. Raises Transient."""
        return await self._members.ask(
            subjects.clock_report(), ClockQuery(agreed=agreed), ClockReport
        )

    async def look(self, agreed: datetime | None = None) -> Look:
        """All processes and their work queues. Raises Transient."""
        answers = await self.reports(agreed)
        streams = [*map(subjects.workflows_stream, self._services), subjects.INGEST_STREAM]
        # Strangers may listen to facts too, and be as slow as they like.
        listeners = [*map(subjects.events_consumer, self._services)]
        backlogs = [
            *[await backlog(self._js, stream) for stream in streams],
            await backlog(self._js, subjects.EVENTS_STREAM, listeners),
        ]
        return Look(
            answers.readings,
            answers.silent,
            waiting=sum(each.waiting for each in backlogs),
            delivered=sum(each.delivered for each in backlogs),
        )

    async def now(self) -> datetime:
        """The latest instant of any process. Raises Stalled where none answers, and Transient."""
        readings = (await self.reports()).readings
        if not readings:
            raise Stalled("no process answers on the virtual clock: start them with CLOCK=virtual")
        return max(reading.instant for reading in readings)

    async def advance(
        self, target: datetime, on_stop: Callable[[datetime], None] = lambda _: None
    ) -> Journey:
        """Sets the clock to each instant at which something is due, then to `target`; everywhere
        it waits until all processes are idle. `on_stop` is told of each.

        Raises Stalled when nothing goes on any more; repeated, it continues from there.
        """
        patience = _Patience(self._patience_seconds)
        first: Look | None = None
        before: Look | None = None
        agreed: datetime | None = None
        stops = 0
        while True:
            look, action = await self._next(before, agreed, target)
            first = first or look
            if isinstance(action, Arrived) and look and first:
                return Journey(stops, look.delivered - first.delivered)
            if isinstance(action, SetTo):
                agreed = await self._set(action.instant)
                stops += 1
                patience.renew()
                on_stop(action.instant)
            elif isinstance(action, Wait):
                patience.wait(look, action.reason)
                agreed = look.instant if look else None
                await asyncio.sleep(LOOK_SECONDS)
            before = look

    async def _next(
        self, before: Look | None, agreed: datetime | None, target: datetime
    ) -> tuple[Look | None, Action]:
        try:
            look = await self.look(agreed)
        except Transient as error:
            return None, Wait(str(error))
        return look, decide(before, look, self._services, target)

    async def _set(self, instant: datetime) -> datetime | None:
        """The instant, if all processes took it; the next look tells of one that did not."""
        try:
            readings, silent = await self._members.ask(
                subjects.clock_set(), ClockSet(instant=instant), ClockReading
            )
        except Transient:
            return None
        taken = not silent and all(reading.instant == instant for reading in readings)
        return instant if taken else None


class _Patience:
    """Ends when for too long no less was left to do than before."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self.renew()

    def renew(self) -> None:
        """The clock was set: all begins anew."""
        self._least_left = sys.maxsize
        self._since = monotonic()

    def wait(self, look: Look | None, reason: str) -> None:
        """Raises Stalled."""
        if look is not None and look.unfinished < self._least_left:
            self._least_left, self._since = look.unfinished, monotonic()
        if monotonic() - self._since > self._seconds:
            raise Stalled(
                f"nothing got done for {self._seconds:g} s: {reason}. Put that right and repeat "
                "the command; it goes on from where it stopped"
            )
