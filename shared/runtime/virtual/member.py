"""One process's part in the virtual clock: it takes instants, and tells how it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import uuid4

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.jetstream.patience import PASSING
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.clock import Activity, ClockQuery, ClockReading, ClockReport, ClockSet
from shared.postgres.clock import ClockStore
from shared.runtime.clocks import VirtualClock
from shared.runtime.config import ConfigurationError, Settings
from shared.runtime.virtual.members import Members
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

log = structlog.get_logger()

LEFT_ALONE_SECONDS = 5.0
"""After so long an instant is woken by although nobody told that all processes have taken it."""

Due = Callable[[], Awaitable[datetime | None]]
"""The earliest business instant at which something that a table keeps is to be done."""


class Keeper(Protocol):
    """Keeps the instant over restarts, and looks at what goes on."""

    async def begin(self, instant: datetime) -> datetime:
        """The instant that is kept, or `instant` where none is."""
        ...

    async def advance(self, instant: datetime) -> datetime:
        """Keeps `instant` unless a later one is kept; returns which it is."""
        ...

    async def activity(self, now: datetime, /) -> Activity | None:
        """What goes on in the schema; None where there is none."""
        ...


class Unkept:
    """The Keeper of a process without a schema: others tell it the instant when it starts."""

    async def begin(self, instant: datetime) -> datetime:
        return instant

    async def advance(self, instant: datetime) -> datetime:
        return instant

    async def activity(self, _now: datetime, /) -> None:
        return None


class Member:
    """`clock` is the process's business time.

    `agreed` follows it once all processes have taken an instant; who wakes what is due goes by
    this one, since a replica behind would find such a wake early and let it pass.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        keeper: Keeper,
        instant: datetime,
        *,
        service: str | None = None,
    ):
        self.clock = VirtualClock(instant)
        self.agreed = VirtualClock(instant)
        self._client = client
        self._name = f"{name}-{uuid4().hex[:8]}"
        self._keeper = keeper
        self._service = service
        self._before_report: Sequence[Callable[[], Awaitable[object]]] = ()
        self._also_due: Sequence[Due] = ()

    async def join(
        self,
        *,
        before_report: Sequence[Callable[[], Awaitable[object]]] = (),
        also_due: Sequence[Due] = (),
    ) -> None:
        """Answers from now on, with the latest instant that any process knows.

        `before_report` is done before each report, so that nothing waits for machine time: marks
        are written and what is due is woken. `also_due` are sources of instants beside the
        instances' own. Raises Transient.
        """
        self._before_report = before_report
        self._also_due = also_due
        for subject, answer in (
            (subjects.clock_set(), self._set),
            (subjects.clock_report(), self._report),
            (subjects.clock_report(self._name), self._report),
        ):
            await self._client.subscribe(subject, cb=self._answering(answer))
        await self._client.flush()
        # Only now: whatever is set after the row is read is heard. And told to the others, among
        # whom may be one without a schema that started before.
        instant = await self._keeper.begin(self.clock.now())
        answers = await Members(self._client).ask(
            subjects.clock_set(), ClockSet(instant=instant), ClockReading
        )
        await self._take(max([instant, *(reading.instant for reading in answers.readings)]))
        self.agreed.set(self.clock.now())
        log.info("clock_joined", member=self._name, instant=self.clock.now().isoformat())

    async def _set(self, body: bytes) -> ClockReading:
        instant = msgspec.json.decode(body, type=ClockSet).instant
        await self._take(instant)
        return ClockReading(member=self._name, service=self._service, instant=self.clock.now())

    async def _take(self, instant: datetime) -> None:
        if instant <= self.clock.now():
            return
        # Kept first: a process that dies between the two has lost nothing.
        self.clock.set(await self._keeper.advance(instant))
        asyncio.get_running_loop().call_later(LEFT_ALONE_SECONDS, self.agreed.set, self.clock.now())

    async def _report(self, body: bytes) -> ClockReport:
        agreed = msgspec.json.decode(body, type=ClockQuery).agreed
        if agreed is not None:
            self.agreed.set(min(agreed, self.clock.now()))
        for each in self._before_report:
            await each()
        activity = await self._keeper.activity(self.clock.now())
        if activity is not None:
            found = [activity.due_at, *[await each() for each in self._also_due]]
            earliest = min((due_at for due_at in found if due_at is not None), default=None)
            activity = msgspec.structs.replace(activity, due_at=earliest)
        return ClockReport(
            member=self._name,
            service=self._service,
            instant=self.clock.now(),
            activity=activity,
        )

    def _answering(
        self, answer: Callable[[bytes], Awaitable[Message]]
    ) -> Callable[[Msg], Awaitable[None]]:
        async def answering(request: Msg) -> None:
            try:
                await request.respond(encode(await answer(request.data)))
            except (Transient, *PASSING) as error:
                # The asker asks again.
                log.warning("clock_not_answered", subject=request.subject, reason=str(error))

        return answering


async def service_member(
    client: Client, name: str, settings: Settings, store: ClockStore, clock: Clock
) -> Member | None:
    """A service's part, still to join; None on the system clock.

    Raises ConfigurationError for a schema whose rows lie in the future of the system clock.
    """
    if settings.clock == "virtual":
        start = await store.begin(settings.clock_start or clock.now())
        return Member(client, name, store, start, service=name)
    instant = await store.instant()
    if instant is not None and not clock.is_virtual:
        raise ConfigurationError(
            (
                f"CLOCK is system, but business time in this schema is virtual, at {instant}: "
                "set CLOCK to virtual, or begin with other data",
            )
        )
    return None
