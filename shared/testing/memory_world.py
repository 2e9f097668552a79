"""A harness's world in memory: the twins of the ports, and a queue like JetStream's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from shared.messages import subjects
from shared.testing.clocks import MachineTime
from shared.testing.memory import MemoryStore
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.memory_tables import Statement
from shared.workflow.ports import Connection, Delivery, Predecessor
from shared.workflow.records import DeadLetter, InstanceKey, OutboxMessage, StreamPosition

STREAM_CREATED = "0"


class MemoryWorld:
    """See World."""

    def __init__(self) -> None:
        self.machine = MachineTime()
        self.store = MemoryStore(self.machine)
        self.statuses = MemoryStatusBucket()
        self.publisher = MemoryStreams()

    async def pull(self, held: int) -> Delivery | None:  # noqa: ARG002 - needs no counting
        """See World."""
        return self.publisher.pull()

    async def relay(self) -> int:
        """See World."""
        unsent = [each for _, each in self.store.outbox.values() if each.id not in self.store.sent]
        await self.publisher.publish(unsent)
        await self.store.mark_sent(each.id for each in unsent)
        return len(unsent)

    async def next_due_at(self) -> datetime | None:
        """See World."""
        due = (row.due_at for row in self.store.rows.values())
        return min((instant for instant in due if instant is not None), default=None)

    async def awaits_machine_time(self) -> bool:
        """See World."""
        return any(row.machine_due_at is not None for row in self.store.rows.values())

    async def pass_machine_time(self, seconds: float) -> None:
        """See World."""
        self.store.cut_off()
        self.machine.advance(seconds)

    async def instances(self) -> list[InstanceKey]:
        """See World."""
        return list(self.store.rows)

    async def events(self) -> list[OutboxMessage]:
        """See World."""
        return self.publisher.events

    async def dead_letters(self) -> list[DeadLetter]:
        """See World."""
        return list(self.store.dead_letters.values())

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """See World."""
        raise AssertionError(
            "in memory there are no tables: look at harness.statements, "
            "or run the test on servers (Harness.on_servers)"
        )

    @property
    def statements(self) -> Sequence[Statement]:
        """See World."""
        return self.store.effects


class MemoryStreams:
    """See ports.Publisher: commands wait to be pulled, and a message's id is taken once."""

    def __init__(self) -> None:
        self.events: list[OutboxMessage] = []
        self._ids: set[str] = set()
        self._waiting: list[QueuedDelivery] = []
        self._unsettled: dict[int, OutboxMessage] = {}
        self._sequence = 0

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """See ports.Publisher."""
        for message in messages:
            if message.id and message.id in self._ids:
                continue
            self._ids.add(message.id)
            if not message.subject.startswith("workflows."):
                self.events.append(message)
                continue
            self._sequence += 1
            self._unsettled[self._sequence] = message
            self._waiting.append(QueuedDelivery(message, self._sequence, self._unsettled))

    def pull(self) -> Delivery | None:
        """The next command that nobody has pulled."""
        return self._waiting.pop(0) if self._waiting else None


class QueuedDelivery:
    """See ports.Delivery: a message of the queue."""

    attempt = 1

    def __init__(
        self, message: OutboxMessage, sequence: int, unsettled: dict[int, OutboxMessage]
    ) -> None:
        self.subject = message.subject
        self.body = message.body
        self.headers = {**message.headers}
        if message.id:
            self.headers[subjects.MESSAGE_ID] = message.id
        self.origin = f"MEMORY/{STREAM_CREATED}/{sequence}"
        self.position = StreamPosition(STREAM_CREATED, sequence)
        self._unsettled = unsettled

    async def before(self) -> Sequence[Predecessor]:
        """See ports.Delivery."""
        return [
            Predecessor(StreamPosition(STREAM_CREATED, sequence), message.headers, message.body)
            for sequence, message in self._unsettled.items()
            if message.subject == self.subject and sequence < self.position.sequence
        ]

    async def ack(self) -> None:
        """See ports.Delivery."""
        self._unsettled.pop(self.position.sequence, None)

    async def nak(self, delay_seconds: float) -> None:
        """See ports.Delivery."""

    async def term(self, reason: str) -> None:  # noqa: ARG002
        """See ports.Delivery."""
        await self.ack()
