"""A process over the real servers, cut off or frozen at a point while a scene is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.postgres.store import PostgresStore
from shared.runtime.timekeeper import Timekeeper
from shared.testing.clocks import ManualClock
from shared.testing.faults import (
    Cut,
    Faults,
    FaultyDelivery,
    FaultyPublisher,
    FaultyStatusBucket,
    FaultyStore,
)
from shared.testing.rig import DueStore
from shared.workflow.errors import Transient
from shared.workflow.executor import Executor
from shared.workflow.ports import Delivery, Publisher, StatusBucket
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage
from shared.workflow.registry import Registration, Registry
from shared.workflow.settings import EngineSettings

LEASE_SECONDS = 0.25
BOUND_SECONDS = 30.0
SETTINGS = EngineSettings(
    lease_seconds=LEASE_SECONDS,
    segment_seconds=10,
    call_timeout_seconds=0.2,
    call_grace_seconds=0.1,
)


class NotAsItMustBe(AssertionError):
    """Effects, journal, outbox and status do not agree."""


@dataclass
class Mistakes:
    """Hooks through which a test plants a mistake in the process under test."""

    store: Callable[[DueStore, StatusBucket], DueStore] = lambda store, _: store
    ack_first: bool = False


class Part(Protocol):
    """One instance of a workflow, and what the rest of the world does with it."""

    @property
    def key(self) -> InstanceKey: ...

    def registrations(self, faults: Faults) -> list[Registration]:
        """The workflows of a process that passes these points."""
        ...

    def cue(self, instance: Instance | None, entries: list[Entry]) -> OutboxMessage | None:
        """What somebody publishes now that the instance stands there, each once."""
        ...

    def rest(self) -> list[OutboxMessage]:
        """All that nobody has published yet, which they do at once."""
        ...

    async def check(self, world: World) -> None:
        """Raises NotAsItMustBe."""
        ...


@dataclass
class World:
    """The servers, and the messages that wait on them."""

    client: Client
    js: JetStreamContext
    store: PostgresStore
    witness: PostgresStore
    """The same, for those who look: no server cuts them off."""
    clock: ManualClock = field(default_factory=ManualClock)
    bound_seconds: float = BOUND_SECONDS

    def __post_init__(self) -> None:
        self.events_from = 1
        self._fetched: list[Msg] = []
        self.publisher = JetStreamPublisher(self.client)
        self.statuses = JetStreamStatusBucket(self.client)

    async def waiting(self) -> int:
        """Messages that are not settled yet."""
        info = await self.js.stream_info(subjects.workflows_stream("sample"))
        return info.state.messages

    async def subscribe(self) -> None:
        """Binds to the consumers of starts, of wakes and signals, and of controls."""
        stream = subjects.workflows_stream("sample")
        self.queues = [
            await self.js.pull_subscribe_bind(consumer("sample"), stream)
            for consumer in (
                subjects.starts_consumer,
                subjects.wakes_consumer,
                subjects.controls_consumer,
            )
        ]

    async def begin(self) -> None:
        """What is published from now on belongs to the part that is played next."""
        self.events_from = (await self.js.stream_info(subjects.EVENTS_STREAM)).state.last_seq + 1

    async def next_message(self) -> Delivery | None:
        """The next delivery, or None when nothing comes for a moment."""
        if not self._fetched:
            for fetched in await asyncio.gather(*(_fetch(queue) for queue in self.queues)):
                self._fetched.extend(fetched)
        if not self._fetched:
            return None
        return JetStreamDelivery(self.client, self._fetched.pop(0), "sweep")


async def _fetch(queue: JetStreamContext.PullSubscription) -> list[Msg]:
    try:
        return await queue.fetch(1, timeout=0.02)
    except TimeoutError:
        return []


class Process:
    """One replica, as far as this sweep goes: deliveries, the timekeeper, the relay."""

    def __init__(self, world: World, part: Part, faults: Faults, mistakes: Mistakes):
        self._world = world
        self._faults = faults
        self._mistakes = mistakes
        statuses = FaultyStatusBucket(world.statuses, faults)
        store: DueStore = FaultyStore(mistakes.store(world.store, statuses), faults)
        publisher: Publisher = FaultyPublisher(world.publisher, faults)
        self._store = store
        self._publisher = publisher
        self._timekeeper = Timekeeper(store, publisher, world.clock, interval_seconds=1)
        self._executor = Executor(
            service="sample",
            registry=Registry(part.registrations(faults)),
            store=store,
            publisher=publisher,
            statuses=statuses,
            clock=world.clock,
            monotonic=monotonic,
            settings=SETTINGS,
        )

    async def deliver(self, delivery: Delivery) -> None:
        """One delivery, to its end or to the cut."""
        faulty = FaultyDelivery(delivery, self._faults)
        if self._mistakes.ack_first:
            await faulty.ack()
            await self._executor.deliver(Acknowledged(faulty))
        else:
            await self._executor.deliver(faulty)

    async def tick(self) -> None:
        """What runs beside the deliveries."""
        with suppress(Transient):
            await self._timekeeper.tick()
            await self._store.flush_sent()
            async with self._faults.around("relay"):
                await self._world.store.relay(
                    self._publisher.publish, older_than_seconds=0, limit=1000
                )


class Acknowledged:
    """A delivery that was acknowledged too early: nothing settles it any more."""

    def __init__(self, inner: Delivery):
        self.subject = inner.subject
        self.body = inner.body
        self.headers = inner.headers
        self.attempt = inner.attempt
        self.origin = inner.origin
        self.position = inner.position
        self.before = inner.before

    async def ack(self) -> None:
        """Too late."""

    async def nak(self, delay_seconds: float) -> None:
        """Too late."""

    async def term(self, reason: str) -> None:
        """Too late."""


async def finish(world: World, part: Part, process: Process, revive: Process) -> None:
    """Runs until the instance has ended and no message waits; `revive` takes over at a cut."""
    deadline = monotonic() + world.bound_seconds
    while monotonic() < deadline:
        # Time goes by between two deliveries, so that a second run would show another instant.
        world.clock.advance(timedelta(seconds=1))
        try:
            delivery = await world.next_message()
            if delivery is not None:
                await process.deliver(delivery)
            elif await world.waiting() == 0 and not await _cue(world, part):
                loaded = await world.witness.load(part.key)
                if loaded is None:
                    raise NotAsItMustBe("an accepted start has vanished")
                if loaded[0].status.ended:
                    return
                world.clock.advance(timedelta(hours=1))
                await process.tick()
        except Cut:
            process = revive
    raise NotAsItMustBe(f"{part.key} has not ended within {world.bound_seconds:g} s")


async def _cue(world: World, part: Part) -> bool:
    """Publishes what somebody sends now; whether there was anything."""
    instance, entries = await world.witness.load(part.key) or (None, [])
    message = part.cue(instance, entries)
    if message is not None:
        await world.publisher.publish([message])
    return message is not None
