"""A service in memory whose deliveries are disturbed: its queue, its two clocks, its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal, NamedTuple

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, SignalCommand
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
from shared.testing.journeys import Approved
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.trees import CallNode, StartTree, TreeOutside, TreeWorkflow
from shared.workflow.after_commit import wake
from shared.workflow.call import Call, NotFound, Unknown
from shared.workflow.errors import Interruption
from shared.workflow.executor import Executor
from shared.workflow.ports import Predecessor
from shared.workflow.records import InstanceKey, OutboxMessage, StreamPosition
from shared.workflow.registry import Registry, register
from shared.workflow.settings import EngineSettings

BEGINNING = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = InstanceKey("tree", "root")
ACK_WAIT_SECONDS = 30.0
MOST_DELIVERIES = 300


class Signalled(NamedTuple):
    """Somebody sends the root a signal so long after the beginning, or before there is a root."""

    seconds: float
    by: str


class Told(NamedTuple):
    """Somebody ends the root, or starts it again, once all has come to rest at that instant."""

    seconds: float
    action: Literal["terminate", "restart"]
    rollback: bool = False


Script = tuple[Signalled | Told, ...]
"""What happens in business time, whatever happens to the processes."""


class Cutting(NamedTuple):
    """The process dies at a point of this delivery."""

    delivery: int
    point: int


class Freezing(NamedTuple):
    """The process stands still at a point of this delivery, while others carry out some more;
    where it is long, any lease of its own runs out before they do."""

    delivery: int
    point: int
    others: int
    long: bool


class Doubling(NamedTuple):
    """The acknowledgement of this delivery gets lost."""

    delivery: int


class Waking(NamedTuple):
    """All instances are woken after this delivery, for nothing."""

    delivery: int


class Resending(NamedTuple):
    """The sender of a signal sends it again after this delivery."""

    delivery: int


class Pausing(NamedTuple):
    """The root is paused after this delivery, and resumed some deliveries later."""

    delivery: int
    others: int


class Ending(NamedTuple):
    """The root is terminated with rollback after this delivery: then it may end differently."""

    delivery: int


Disturbance = Cutting | Freezing | Doubling | Waking | Resending | Pausing | Ending


@dataclass
class Queued:
    """A message of the work queue."""

    message: OutboxMessage
    sequence: int
    ready_at: float
    deliveries: int = 0
    settled: bool = False
    doubled: bool = False


class MachineTime:
    """Moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """See time.monotonic."""
        return self.seconds


class QueueDelivery:
    """See ports.Delivery. A late word of the first worker counts for everyone."""

    def __init__(self, queue: Queue, queued: Queued, *, unfused: bool):
        self._queue = queue
        self._queued = queued
        queued.deliveries += 1
        self.subject = queued.message.subject
        self.body = queued.message.body
        self.headers = dict(queued.message.headers)
        self.attempt = queued.deliveries + int(unfused)
        self.position = StreamPosition("0", queued.sequence)
        self.origin = f"QUEUE/0/{queued.sequence}"

    async def before(self) -> Sequence[Predecessor]:
        """See ports.Delivery."""
        return [
            Predecessor(StreamPosition("0", each.sequence), each.message.headers, each.message.body)
            for each in self._queue.messages
            if each.message.subject == self.subject
            and each.sequence < self._queued.sequence
            and not each.settled
        ]

    async def ack(self) -> None:
        """Done, unless the word gets lost."""
        if self._queued.doubled:
            self._queued.doubled = False
        else:
            self._queued.settled = True

    async def nak(self, delay_seconds: float) -> None:
        """Again later."""
        self._queued.ready_at = self._queue.machine() + delay_seconds

    async def term(self, reason: str) -> None:
        """Never again."""
        self._queued.settled = True


class Queue:
    """A work queue, and the events beside it."""

    def __init__(self, machine: MachineTime):
        self.machine = machine
        self.messages: list[Queued] = []
        self.events = MemoryPublisher()
        self._known: set[str] = set()
        self._sequences = count(1)

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """See ports.Publisher."""
        for message in messages:
            if message.subject.startswith("events."):
                await self.events.publish([message])
            elif not message.id or message.id not in self._known:
                self._known.add(message.id)
                self.messages.append(Queued(message, next(self._sequences), self.machine()))

    def take(self) -> Queued | None:
        """What is to be delivered next; it comes again if nobody settles it."""
        ready = [each for each in self.waiting if each.ready_at <= self.machine()]
        if not ready:
            return None
        ready[0].ready_at = self.machine() + ACK_WAIT_SECONDS
        return ready[0]

    @property
    def waiting(self) -> list[Queued]:
        """What nobody has settled."""
        return [each for each in self.messages if not each.settled]


class FaultyTreeOutside(TreeOutside):
    """The outside world as one process reaches it; a process that stood still for longer than the
    call may take sends nothing any more."""

    def __init__(self, inner: TreeOutside, faults: Faults, machine: MachineTime):
        super().__init__()
        self._inner = inner
        self._faults = faults
        self._machine = machine

    async def carry_out(self, call: Call, node: CallNode) -> str:
        """Two points."""
        begun = self._machine()
        await self._faults.reach("before call")
        if self._machine() - begun > call.timeout.total_seconds():
            raise TimeoutError
        try:
            return await self._inner.carry_out(call, node)
        finally:
            await self._faults.reach("after call")

    async def look_up(self, call: Call, node: CallNode) -> str | NotFound | Unknown:
        """Two points."""
        async with self._faults.around("look-up"):
            return await self._inner.look_up(call, node)

    async def undo(self, call: Call, result: str | None) -> None:
        """Two points."""
        async with self._faults.around("undo"):
            await self._inner.undo(call, result)


@dataclass
class Frozen:
    """A process that stands still in a delivery."""

    faults: Faults
    task: asyncio.Task[None]
    left: int
    """Deliveries of others before it goes on."""


@dataclass
class Service:
    """Processes of one service, one after another; those that stand still are besides."""

    unfused: bool = False
    segment_seconds: float = 10.0
    machine: MachineTime = field(default_factory=MachineTime)
    clock: ManualClock = field(default_factory=lambda: ManualClock(BEGINNING))

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.machine)
        self.queue = Queue(self.machine)
        self.statuses = MemoryStatusBucket()
        self.outside = TreeOutside()
        self.passed: list[str] = []
        self.deliveries = 0
        self._frozen: list[Frozen] = []
        self._sent_last: OutboxMessage | None = None
        self._resume_after: list[int] = []

    # -- what is published ----------------------------------------------------------------------

    async def start(self, start: StartTree) -> None:
        """The root."""
        await self._publish(
            OutboxMessage(
                id=str(ROOT),
                subject=subjects.start("tree"),
                body=encode(start),
                headers={subjects.WORKFLOW_ID: ROOT.id},
            )
        )

    async def signal(self, number: int, by: str) -> None:
        """A signal for the root."""
        command = SignalCommand(
            type=Approved.type, payload=msgspec.Raw(encode(Approved(by=by))), id=f"signal-{number}"
        )
        self._sent_last = OutboxMessage(id="", subject=subjects.signal(*ROOT), body=encode(command))
        await self._publish(self._sent_last)

    async def control(self, action: Action, *, rollback: bool = False) -> None:
        """A control for the root."""
        command = ControlCommand(id=ROOT.id, action=action, rollback=rollback)
        await self._publish(
            OutboxMessage(id="", subject=subjects.control("tree"), body=encode(command))
        )

    async def _publish(self, message: OutboxMessage) -> None:
        await self.queue.publish([message])

    # -- what is delivered ----------------------------------------------------------------------

    async def rest(self, disturbances: Iterable[Disturbance]) -> None:
        """Delivers until nothing is left to do at this instant of business time."""
        by_delivery: dict[int, list[Disturbance]] = {}
        for each in disturbances:
            by_delivery.setdefault(each.delivery, []).append(each)
        while True:
            if self.deliveries > MOST_DELIVERIES:
                raise AssertionError("it does not come to rest")
            queued = self.queue.take()
            if queued is not None:
                await self._deliver(queued, by_delivery.get(self.deliveries, ()))
            elif self._frozen:
                await self._thaw(self._frozen[0])
            elif self._resume_after:
                await self._resume()
            elif not await self._pass_machine_time():
                return

    async def _deliver(self, queued: Queued, disturbances: Sequence[Disturbance]) -> None:
        faults = Faults()
        freezing: Freezing | None = None
        for each in disturbances:
            if isinstance(each, Cutting):
                faults = Faults(each.point)
            elif isinstance(each, Freezing):
                faults, freezing = Faults(each.point, freeze=True), each
            elif isinstance(each, Doubling):
                queued.doubled = True
        self.deliveries += 1
        delivery = FaultyDelivery(QueueDelivery(self.queue, queued, unfused=self.unfused), faults)
        task = asyncio.create_task(self._run(self._executor(faults), delivery))
        reached = asyncio.create_task(faults.reached.wait())
        await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if freezing is not None and not task.done():
            self._frozen.append(Frozen(faults, task, freezing.others))
            if freezing.long:
                self.machine.seconds += 2 * ACK_WAIT_SECONDS
        else:
            await task
        self.passed += faults.passed
        for each in disturbances:
            await self._disturb(each)
        await self._count_down()

    async def _run(self, executor: Executor, delivery: FaultyDelivery) -> None:
        try:
            await executor.deliver(delivery)
        except Cut:
            pass
        except Interruption as escaped:
            raise AssertionError(f"{escaped!r} left the executor") from escaped

    async def _disturb(self, disturbance: Disturbance) -> None:
        if isinstance(disturbance, Waking):
            await self.queue.publish([wake(key) for key in self.store.rows])
        elif isinstance(disturbance, Resending) and self._sent_last is not None:
            await self._publish(self._sent_last)
        elif isinstance(disturbance, Pausing):
            await self.control(Action.PAUSE)
            self._resume_after.append(self.deliveries + disturbance.others)
        elif isinstance(disturbance, Ending):
            await self.control(Action.TERMINATE, rollback=True)

    async def _count_down(self) -> None:
        for each in tuple(self._frozen):
            each.left -= 1
            if each.left < 0:
                await self._thaw(each)
        if self._resume_after and self._resume_after[0] <= self.deliveries:
            await self._resume()

    async def _resume(self) -> None:
        self._resume_after.pop(0)
        await self.control(Action.RESUME)

    async def _thaw(self, frozen: Frozen) -> None:
        self._frozen.remove(frozen)
        frozen.faults.thaw.set()
        await frozen.task

    async def _pass_machine_time(self) -> bool:
        """Lets leases, redeliveries and wakes in vain run out; whether there was any."""
        pending = [each.ready_at for each in self.queue.waiting]
        pending += [
            row.machine_due_at for row in self.store.rows.values() if row.machine_due_at is not None
        ]
        if pending:
            self.machine.seconds = max(self.machine.seconds, min(pending))
        else:
            # What lies in an inbox is looked after too.
            self.machine.seconds += 5
        publisher = self.queue
        ticked = await Timekeeper(self.store, publisher, self.clock, interval_seconds=1).tick()
        unsent = [
            message
            for _, message in self.store.outbox.values()
            if message.id not in self.store.sent
        ]
        await publisher.publish(unsent)
        await self.store.mark_sent([message.id for message in unsent])
        return bool(pending or ticked or unsent)

    def _executor(self, faults: Faults) -> Executor:
        store = FaultyStore(self.store, faults)
        outside = FaultyTreeOutside(self.outside, faults, self.machine)
        return Executor(
            service="sample",
            registry=Registry([register(StartTree, TreeWorkflow(outside, self.clock))]),
            store=store,
            publisher=FaultyPublisher(self.queue, faults),
            statuses=FaultyStatusBucket(self.statuses, faults),
            clock=self.clock,
            monotonic=self.machine,
            settings=EngineSettings(segment_seconds=self.segment_seconds),
        )

    # -- business time --------------------------------------------------------------------------

    @property
    def next_due_at(self) -> datetime | None:
        """When business time has something to do next."""
        found = [row.due_at for row in self.store.rows.values() if row.due_at is not None]
        return min(found, default=None)


async def play(
    start: StartTree, script: Script, disturbances: Sequence[Disturbance], service: Service
) -> None:
    """Runs the tree until everything has ended."""
    events = sorted(script, key=lambda event: event.seconds)
    for number, event in enumerate(events):
        if event.seconds == 0 and isinstance(event, Signalled):
            await service.signal(number, event.by)
            await service.rest(disturbances)
    await service.start(start)
    upcoming = [(number, event) for number, event in enumerate(events) if event.seconds > 0]
    for rescue in count(1):
        await service.rest(disturbances)
        due_at = service.next_due_at
        if upcoming:
            number, event = upcoming[0]
            at = BEGINNING + timedelta(seconds=event.seconds)
            if due_at is None or at <= due_at:
                upcoming.pop(0)
                service.clock.set(max(at, service.clock.now()))
                if isinstance(event, Signalled):
                    await service.signal(number, event.by)
                else:
                    await service.control(Action(event.action), rollback=event.rollback)
                continue
        if due_at is not None:
            service.clock.set(max(due_at, service.clock.now()))
            continue
        if all(row.instance.status.ended for row in service.store.rows.values()):
            return
        # Somebody waits for a signal that the script does not have.
        await service.signal(100 + rescue, f"rescue {rescue}")
        if rescue > 100:
            raise AssertionError("it has not ended")
