"""Tries workflows out: starts them, signals, moves time, breaks things, and looks what came of it.

    async with Harness.in_memory([register(StartWelcome, WelcomeWorkflow())]) as harness:
        welcome = await harness.start(StartWelcome(player_id=PLAYER))
        await harness.advance(days=3)
        assert welcome.output == 150

Each method returns once nothing is left to do at the present instant: commands, children, signals
and wakes have been delivered, one after the other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.events import Event, EventEnvelope
from shared.messages.workflows import Trigger
from shared.testing.clocks import ManualClock
from shared.testing.crontab import Crontab
from shared.testing.driver import Driver
from shared.testing.failing import Failures, undoing
from shared.testing.faults import Faults
from shared.testing.handle import Handle
from shared.testing.memory_world import MemoryWorld
from shared.testing.world import Sql, World
from shared.testing.worlds import Servers, servers_for_tests
from shared.workflow.crons import Cron
from shared.workflow.ports import Connection
from shared.workflow.projection import project
from shared.workflow.records import DeadLetter, InstanceKey, OutboxMessage
from shared.workflow.registry import Registration, Registry
from shared.workflow.settings import EngineSettings

E = TypeVar("E", bound=Event)


class OpenHarness(Protocol):
    """What opens a harness: Harness.in_memory, or Harness.on_servers with a test run's servers."""

    def __call__(
        self,
        registrations: Iterable[Registration],
        *,
        sql: Sql = "",
        faults: Faults | None = None,
        crons: Sequence[Cron] = (),
    ) -> AbstractAsyncContextManager[Harness]: ...


class Harness:
    """One service's workflows, the world that they run in, and its business time."""

    def __init__(
        self,
        registrations: Iterable[Registration],
        world: World,
        faults: Faults,
        crons: Sequence[Cron],
    ):
        self._registrations = {each.kind: each for each in registrations}
        self._world = world
        self._clock = ManualClock()
        self._failures = Failures()
        self._handles: dict[InstanceKey, Handle] = {}
        crontab = Crontab(crons, Registry(self._registrations.values()), self.now)
        self._driver = Driver(
            world,
            self._failing(),
            clock=self._clock,
            settings=EngineSettings(),
            faults=faults,
            crontab=crontab,
        )

    @classmethod
    @asynccontextmanager
    async def in_memory(
        cls,
        registrations: Iterable[Registration],
        *,
        sql: Sql = "",  # noqa: ARG003 - there are no tables; servers need them
        faults: Faults | None = None,
        crons: Sequence[Cron] = (),
    ) -> AsyncGenerator[Harness]:
        """On twins of the servers, in no time; what steps execute is recorded and finds nothing."""
        harness = cls(registrations, MemoryWorld(), faults or Faults(), crons)
        try:
            yield harness
        finally:
            await harness.close()

    @classmethod
    @asynccontextmanager
    async def on_servers(
        cls,
        registrations: Iterable[Registration],
        *,
        sql: Sql = "",
        faults: Faults | None = None,
        crons: Sequence[Cron] = (),
        servers: Servers | None = None,
    ) -> AsyncGenerator[Harness]:
        """On a real PostgreSQL, with the tables of `sql`, and a real nats-server.

        Without `servers` on those of TEST_DATABASE_URL and TEST_NATS_URL, else on embedded ones
        that are started for this harness alone.
        """
        registrations = tuple(registrations)
        async with AsyncExitStack() as stack:
            if servers is None:
                servers = await stack.enter_async_context(servers_for_tests())
            service, kinds = registrations[0].trigger.service, [each.kind for each in registrations]
            world = await stack.enter_async_context(servers.world(service, kinds, sql))
            harness = cls(registrations, world, faults or Faults(), crons)
            try:
                yield harness
            finally:
                await harness.close()

    async def close(self) -> None:
        """Leaves nothing running."""
        await self._driver.end()

    # -- what happens ---------------------------------------------------------------------------

    async def start(self, trigger: Trigger) -> Handle:
        """Starts an instance, as a gateway does; without an id it is named after its kind."""
        if trigger.id is None:
            trigger = replace(trigger, id=f"{trigger.kind}-{len(self._handles) + 1}")
        key = InstanceKey(trigger.kind, trigger.id or "")
        handle = self._handle(key)
        await self.publish(
            subjects.start(trigger.kind), encode(trigger), {subjects.WORKFLOW_ID: key.id}
        )
        return handle

    async def publish(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publishes as somebody without a gateway does."""
        message = OutboxMessage(id="", subject=subject, body=body, headers={**(headers or {})})
        await self._world.publisher.publish([message])
        await self._settle()

    async def redeliver(self, handle: Handle, times: int = 1) -> None:
        """Has the start of an instance delivered again, as if its acknowledgement had been lost."""
        await self._driver.redeliver(handle.key, times)
        await self._look()

    def deploy(self, *registrations: Registration) -> None:
        """Puts new builds of workflows in the place of old ones, with instances under way."""
        self._registrations |= {each.kind: each for each in registrations}
        self._driver.deploy(self._failing())

    @property
    def now(self) -> datetime:
        """Business time; it stands still until it is advanced."""
        return self._clock.now()

    async def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """Moves business time; timers and crons on the way have their own instants, in order."""
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        await self.advance_to(self.now + span)

    async def advance_to(self, at: datetime) -> None:
        """The same to an instant. Raises ValueError for one in the past."""
        if at < self.now:
            raise ValueError(f"{at} lies before {self.now}: time only goes forward")
        await self._driver.advance_to(at)
        await self._look()

    # -- what goes wrong ------------------------------------------------------------------------

    def fail(
        self, step: str, *, times: int = 1, error: Exception | None = None, undo: bool = False
    ) -> None:
        """Has the next attempts of a step or call, or of its compensation, end with an error."""
        name = undoing(step) if undo else step
        self._failures.add(name, error or RuntimeError(f"{name} was told to fail"), times)

    def crash_at(self, point: int | str) -> None:
        """Cuts the process off at a point as kill -9 does: a number, or a pattern such as
        "after commit" or "before publish events.*"."""
        self._driver.replace(Faults(point))

    def freeze_at(self, point: int | str) -> None:
        """Lets the process stand still at a point, while another takes over, and then go on."""
        self._driver.replace(Faults(point, freeze=True))

    @property
    def points(self) -> Sequence[str]:
        """The points that the process has passed; another's begin anew."""
        return self._driver.faults.passed

    # -- what came of it ------------------------------------------------------------------------

    async def instances(self, kind: str) -> list[Handle]:
        """All instances of a kind, children among them, as they began."""
        keys = [key for key in await self._world.instances() if key.kind == kind]
        handles = [self._handle(key) for key in keys]
        await self._look()
        return handles

    async def events(self, event: type[E]) -> list[E]:
        """The facts of one type that were published, each once."""
        published = [
            msgspec.json.decode(message.body, type=EventEnvelope)
            for message in await self._world.events()
        ]
        return [
            msgspec.json.decode(each.data, type=event)
            for each in published
            if each.name == event.name
        ]

    async def dead_letters(self) -> list[DeadLetter]:
        """Messages that could not be carried out."""
        return await self._world.dead_letters()

    async def rows(self, query: str, *args: Any) -> Sequence[tuple[Any, ...]]:
        """Committed rows of the service's tables; on servers."""
        async with self.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query, *args)]

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection to the service's tables, to fill them or to look at them; on servers."""
        return self._world.connection()

    @property
    def statements(self) -> Sequence[tuple[str, tuple[Any, ...]]]:
        """What steps have executed and committed, with its arguments; in memory."""
        return self._world.statements

    # -------------------------------------------------------------------------------------------

    def _failing(self) -> list[Registration]:
        return [self._failures.into(each) for each in self._registrations.values()]

    def _handle(self, key: InstanceKey) -> Handle:
        if key not in self._handles:
            registration = self._registrations.get(key.kind)
            if registration is None:
                kinds = ", ".join(self._registrations)
                raise ValueError(f"{key.kind!r} is not registered; there are: {kinds}")
            self._handles[key] = Handle(key, registration, self.publish)
        return self._handles[key]

    async def _settle(self) -> None:
        await self._driver.settle()
        await self._look()

    async def _look(self) -> None:
        for key, handle in self._handles.items():
            loaded = await self._world.store.load(key)
            handle.show(None if loaded is None else project(*loaded))
