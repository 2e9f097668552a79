"""A process of the sample workflow over the real servers, cut off or frozen at a point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.events import EventEnvelope
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
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.executor import Executor
from shared.workflow.ports import Delivery, Publisher, StatusBucket
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey
from shared.workflow.registry import Registry, register
from shared.workflow.settings import EngineSettings

LEASE_SECONDS = 0.25
BOUND_SECONDS = 20.0


class NotAsItMustBe(AssertionError):
    """Effects, journal, outbox and status do not agree."""


@dataclass
class Mistakes:
    """Hooks through which a test plants a mistake in the process under test."""

    store: Callable[[DueStore, StatusBucket], DueStore] = lambda store, _: store
    ack_first: bool = False


@dataclass
class World:
    """The servers, and the messages that wait on them."""

    client: Client
    js: JetStreamContext
    store: PostgresStore
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.events_from = 1
        self._fetched: list[Msg] = []
        self.publisher = JetStreamPublisher(self.client)
        self.statuses = JetStreamStatusBucket(self.client)
        self.workflow = SampleWorkflow()

    async def waiting(self) -> int:
        """Messages that are not settled yet."""
        info = await self.js.stream_info(subjects.workflows_stream("sample"))
        return info.state.messages

    async def subscribe(self) -> None:
        """Binds to the consumers of starts and wakes."""
        stream = subjects.workflows_stream("sample")
        self.queues = [
            await self.js.pull_subscribe_bind(consumer, stream)
            for consumer in (subjects.starts_consumer("sample"), subjects.wakes_consumer("sample"))
        ]

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

    def __init__(self, world: World, faults: Faults, mistakes: Mistakes):
        self._world = world
        self._faults = faults
        self._mistakes = mistakes
        statuses = FaultyStatusBucket(world.statuses, faults)
        store: DueStore = FaultyStore(mistakes.store(world.store, statuses), faults)
        publisher: Publisher = FaultyPublisher(world.publisher, faults)
        self._store = store
        self._timekeeper = Timekeeper(store, publisher, world.clock, interval_seconds=1)
        self._executor = Executor(
            service="sample",
            registry=Registry([register(StartSample, world.workflow)]),
            store=store,
            publisher=publisher,
            statuses=statuses,
            clock=world.clock,
            monotonic=monotonic,
            settings=EngineSettings(lease_seconds=LEASE_SECONDS, segment_seconds=10),
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
        await self._timekeeper.tick()
        await self._store.flush_sent()


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


async def publish_start(world: World, start: StartSample) -> None:
    """A start, straight to NATS."""
    world.events_from = (await world.js.stream_info(subjects.EVENTS_STREAM)).state.last_seq + 1
    await world.js.publish(
        subjects.start("sample"), encode(start), headers={subjects.WORKFLOW_ID: start.id or ""}
    )


async def finish(world: World, start: StartSample, process: Process, revive: Process) -> None:
    """Runs until the instance has ended and no message waits; `revive` takes over at a cut."""
    key = InstanceKey("sample", start.id or "")
    deadline = monotonic() + BOUND_SECONDS
    while monotonic() < deadline:
        # Time goes by between two deliveries, so that a second run would show another instant.
        world.clock.advance(timedelta(seconds=1))
        try:
            delivery = await world.next_message()
            if delivery is not None:
                await process.deliver(delivery)
            elif await world.waiting() == 0:
                loaded = await world.store.load(key)
                if loaded is None:
                    raise NotAsItMustBe("an accepted start has vanished")
                if loaded[0].status.ended:
                    return
                world.clock.advance(timedelta(hours=1))
                await process.tick()
        except Cut:
            process = revive
    raise NotAsItMustBe(f"{key} has not ended within {BOUND_SECONDS:g} s")


async def check(world: World, start: StartSample) -> None:
    """Effect log, journal, outbox, events and status agree, each effect once."""
    key = InstanceKey("sample", start.id or "")
    steps = [f"step_{number}" for number in range(start.steps)]
    loaded = await world.store.load(key)
    if loaded is None:
        raise NotAsItMustBe("there is no instance")
    instance, entries = loaded
    completed = [entry.name for entry in entries if entry.type == "step"]
    _same("journal", completed, steps)
    _same("states", {entry.state for entry in entries}, {"complete"})
    async with world.store.transaction() as transaction:
        rows = await transaction.connection.fetch(
            "SELECT step FROM effects WHERE workflow_id = $1 ORDER BY id", key.id
        )
        outbox = await transaction.connection.fetch(
            "SELECT message_id FROM outbox WHERE source = $1 ORDER BY seq", str(key)
        )
    _same("effects", [row["step"] for row in rows], steps)
    await world.store.flush_sent()
    await world.store.relay(world.publisher.publish, older_than_seconds=0, limit=1000)
    events = await _events(world, key.id)
    _same("events", list(events.values()), list(range(1, start.steps + 1)))
    _same("outbox", [row["message_id"] for row in outbox], list(events))
    stored = await world.statuses.get(key)
    _same("status", stored.document if stored else None, project(instance, entries))


async def _events(world: World, workflow_id: str) -> dict[str, int]:
    """The instance's events as a consumer that drops repeats sees them: id to sequence."""
    found: dict[str, int] = {}
    info = await world.js.stream_info(subjects.EVENTS_STREAM)
    for sequence in range(world.events_from, info.state.last_seq + 1):
        message = await world.js.get_msg(subjects.EVENTS_STREAM, sequence)
        event = msgspec.json.decode(message.data or b"", type=EventEnvelope)
        if event.workflow is not None and event.workflow.id == workflow_id:
            found[event.id] = event.sequence or 0
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise NotAsItMustBe(f"{what}: {found!r} instead of {expected!r}")
