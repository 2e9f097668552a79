"""The service on the twins in memory, with a machine time that moves when somebody waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from shared.runtime.timekeeper import Timekeeper
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.memory_status import MemoryStatusBucket
from shared.workflow.ports import Delivery, Predecessor
from shared.workflow.records import InstanceKey, OutboxMessage, StreamPosition
from shared.workflow.settings import EngineSettings
from tests.faults.service import Service

ACK_WAIT_SECONDS = 30.0


@dataclass
class Queued:
    """A message of the work queue."""

    message: OutboxMessage
    sequence: int
    ready_at: float
    deliveries: int = 0
    settled: bool = False


class MachineTime:
    """Moves when somebody waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """See time.monotonic."""
        return self.seconds


class QueueDelivery:
    """See ports.Delivery. A late word of the first worker counts for everyone."""

    def __init__(self, queue: Queue, queued: Queued):
        self._queue = queue
        self._queued = queued
        queued.deliveries += 1
        self.subject = queued.message.subject
        self.body = queued.message.body
        self.headers = dict(queued.message.headers)
        self.attempt = queued.deliveries
        self.position = StreamPosition("0", queued.sequence)
        self.origin = f"QUEUE/0/{queued.sequence}"

    async def before(self) -> Sequence[Predecessor]:
        """See ports.Delivery."""
        return [
            Predecessor(StreamPosition("0", each.sequence), each.message.headers, each.message.body)
            for each in self._queue.waiting
            if each.message.subject == self.subject and each.sequence < self._queued.sequence
        ]

    async def ack(self) -> None:
        """Done."""
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

    def take(self) -> Delivery | None:
        """What is to be delivered next; it comes again if nobody settles it."""
        for each in self.waiting:
            if each.ready_at <= self.machine():
                each.ready_at = self.machine() + ACK_WAIT_SECONDS
                return QueueDelivery(self, each)
        return None

    @property
    def waiting(self) -> list[Queued]:
        """What nobody has settled."""
        return [each for each in self.messages if not each.settled]


class TwinService(Service):
    """See service.Service."""

    def __init__(self, *, unfused: bool = False, segment_seconds: float = 10.0) -> None:
        machine = MachineTime()
        store, queue = MemoryStore(machine), Queue(machine)
        super().__init__(
            store,
            queue,
            MemoryStatusBucket(),
            machine,
            EngineSettings(segment_seconds=segment_seconds),
            unfused=unfused,
        )
        self._memory = store
        self._queue = queue
        self._machine = machine

    async def next_delivery(self) -> Delivery | None:
        """See Service."""
        return self._queue.take()

    async def outlast_leases(self) -> None:
        """See Service."""
        self._machine.seconds += 2 * ACK_WAIT_SECONDS

    async def pass_machine_time(self) -> bool:
        """See Service."""
        pending = [each.ready_at for each in self._queue.waiting]
        pending += [
            row.machine_due_at
            for row in self._memory.rows.values()
            if row.machine_due_at is not None
        ]
        if pending:
            self._machine.seconds = max(self._machine.seconds, min(pending))
        else:
            # What lies in an inbox is looked after too.
            self._machine.seconds += 5
        timekeeper = Timekeeper(self.store, self.publisher, self.clock, interval_seconds=1)
        ticked = await timekeeper.tick()
        return bool(pending or ticked or await self._relay())

    async def _relay(self) -> int:
        memory = self._memory
        unsent = [each for _, each in memory.outbox.values() if each.id not in memory.sent]
        await self.publisher.publish(unsent)
        await memory.mark_sent([message.id for message in unsent])
        return len(unsent)

    async def next_due_at(self) -> datetime | None:
        """See Service."""
        found = [row.due_at for row in self._memory.rows.values() if row.due_at is not None]
        return min(found, default=None)

    async def keys(self) -> list[InstanceKey]:
        """See Service."""
        return list(self._memory.rows)

    async def effects(self, workflow_id: str) -> list[str]:
        """See Service."""
        return [args[1] for _, args in self._memory.effects if args[0] == workflow_id]

    async def outbox(self) -> dict[str, bool]:
        """See Service."""
        memory = self._memory
        return {
            message.id: message.id in memory.sent
            for _, message in memory.outbox.values()
            if message.subject.startswith("events.")
        }

    async def events(self) -> list[bytes]:
        """See Service."""
        return [message.body for message in self._queue.events.stored.values()]

    async def letters(self) -> list[tuple[str, str, bytes]]:
        """See Service."""
        return [
            (letter.reason, letter.subject, letter.body)
            for letter in self._memory.dead_letters.values()
        ]
