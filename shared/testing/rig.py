"""An executor with its ports and a clock that stands still: a workflow's test bench."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    Action,
    ControlCommand,
    Signal,
    SignalCommand,
    StatusDocument,
    Trigger,
    Wake,
)
from shared.testing.clocks import ManualClock
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryDelivery, MemoryPublisher
from shared.testing.memory_status import MemoryStatusBucket
from shared.workflow.executor import Executor
from shared.workflow.ports import DueInstances, InstanceStore, Publisher, StatusBucket, Transaction
from shared.workflow.projection import project
from shared.workflow.records import (
    Claim,
    ClaimRequest,
    InstanceKey,
    OutboxMessage,
    Refusal,
)
from shared.workflow.registry import Registration, Registry
from shared.workflow.settings import EngineSettings


class DueStore(InstanceStore, DueInstances, Protocol):
    """A store with what the timekeeper and the relay need."""

    async def flush_sent(self) -> None:
        """See PostgresStore."""
        ...

    async def expire_unclaimed(self, before: datetime, limit: int) -> int:
        """See PostgresStore."""
        ...


@dataclass
class Overheard:
    """A publisher that keeps commands for the rig to deliver, and passes the rest on."""

    inner: Publisher
    commands: list[OutboxMessage]
    heard: set[str] = field(default_factory=set[str])

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """See ports.Publisher."""
        for each in messages:
            if not each.subject.startswith("workflows."):
                await self.inner.publish([each])
            elif each.id not in self.heard:
                # As the broker does: a second message with an id is the first one again.
                self.heard |= {each.id} - {""}
                self.commands.append(each)


@dataclass
class Rig:
    """Starts instances, moves time, redelivers, and shows what came of it.

    Deliveries are handed over directly, so that a test decides what arrives when; every other
    port may be a twin in memory or the real one.
    """

    registrations: Iterable[Registration]
    clock: ManualClock = field(default_factory=ManualClock)
    settings: EngineSettings = EngineSettings()  # noqa: RUF009 - frozen
    store: DueStore = field(default_factory=lambda: MemoryStore(monotonic))
    publisher: Publisher = field(default_factory=MemoryPublisher)
    statuses: StatusBucket = field(default_factory=MemoryStatusBucket)
    monotonic: Callable[[], float] = monotonic
    """Machine time of the executor's process."""

    def __post_init__(self) -> None:
        registrations = tuple(self.registrations)
        self.commands: list[OutboxMessage] = []
        self._sequence = 0
        self.service = registrations[0].trigger.service
        self.executor = Executor(
            service=self.service,
            registry=Registry(registrations),
            store=self.store,
            publisher=Overheard(self.publisher, self.commands),
            statuses=self.statuses,
            clock=self.clock,
            monotonic=self.monotonic,
            settings=self.settings,
        )

    def start_delivery(self, trigger: Trigger, *, attempt: int = 1) -> MemoryDelivery:
        """A delivery of a start, as a gateway publishes it. The trigger needs an id."""
        return MemoryDelivery(
            subjects.start(trigger.kind),
            encode(trigger),
            {subjects.WORKFLOW_ID: trigger.id or ""},
            attempt=attempt,
            origin=f"RIG/0/{trigger.kind}.{trigger.id}",
        )

    async def start(self, trigger: Trigger, *, attempt: int = 1) -> str:
        """Delivers a start; returns the outcome."""
        return await self.executor.deliver(self.start_delivery(trigger, attempt=attempt))

    async def wake(self, kind: str, workflow_id: str, *, attempt: int = 1) -> str:
        """Delivers a wake; returns the outcome."""
        body = encode(Wake(id=workflow_id))
        return await self.executor.deliver(
            MemoryDelivery(subjects.wake(kind), body, attempt=attempt)
        )

    async def signal(self, kind: str, workflow_id: str, signal: Signal) -> str:
        """Delivers a signal; returns the outcome."""
        body = encode(SignalCommand(type=signal.type, payload=msgspec.Raw(encode(signal))))
        return await self._message(subjects.signal(kind, workflow_id), body)

    async def control(
        self,
        kind: str,
        workflow_id: str,
        action: Action,
        *,
        rollback: bool = False,
        from_step: str | None = None,
    ) -> str:
        """Delivers a control; returns the outcome."""
        command = ControlCommand(
            id=workflow_id, action=action, rollback=rollback, from_step=from_step
        )
        return await self._message(subjects.control(kind), encode(command))

    async def _message(self, subject: str, body: bytes) -> str:
        self._sequence += 1
        return await self.executor.deliver(
            MemoryDelivery(subject, body, origin=f"RIG/0/{self._sequence}")
        )

    async def relay(self) -> list[str]:
        """Delivers the commands that instances have published and nobody has taken: starts of
        children, controls, wakes; returns the outcomes."""
        outcomes: list[str] = []
        while self.commands:
            message = self.commands.pop(0)
            outcomes.append(
                await self.executor.deliver(
                    MemoryDelivery(message.subject, message.body, dict(message.headers))
                )
            )
        return outcomes

    async def claim(self, transaction: Transaction, kind: str, workflow_id: str) -> Claim | Refusal:
        """Takes an instance as a redelivered wake does, without running it."""
        return await transaction.claim(
            ClaimRequest(key=InstanceKey(kind, workflow_id), now=self.clock.now(), redelivered=True)
        )

    async def advance(self, duration: timedelta) -> list[str]:
        """Moves time and wakes what is due, until nothing is; returns the outcomes."""
        self.clock.advance(duration)
        outcomes: list[str] = []
        while due := await self.store.take_due(self.clock.now(), 100):
            for key in due:
                outcomes.append(await self.wake(key.kind, key.id))  # noqa: PERF401 - one by one
        return outcomes

    async def status(self, kind: str, workflow_id: str) -> StatusDocument:
        """The status as the journal has it. Raises KeyError for an unknown instance."""
        loaded = await self.store.load(InstanceKey(kind, workflow_id))
        if loaded is None:
            raise KeyError(workflow_id)
        return project(*loaded)

    async def output(self, kind: str, workflow_id: str) -> object:
        """What `run` returned, as plain JSON values."""
        return msgspec.json.decode((await self.status(kind, workflow_id)).output)
