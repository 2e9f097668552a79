"""Processes of one service, one after another, whose deliveries are disturbed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

import msgspec

from shared.jetstream.status import Stored
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, SignalCommand
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
from shared.testing.rig import DueStore
from shared.testing.trees import CallNode, StartTree, TreeOutside, TreeWorkflow
from shared.workflow.after_commit import wake
from shared.workflow.call import Call, NotFound, Unknown
from shared.workflow.errors import Interruption
from shared.workflow.executor import Executor
from shared.workflow.ports import Delivery, InstanceStore, Publisher, StatusBucket
from shared.workflow.records import InstanceKey, OutboxMessage
from shared.workflow.registry import Registry, register
from shared.workflow.settings import EngineSettings
from tests.faults.disturbances import (
    Cutting,
    Disturbance,
    Doubling,
    Ending,
    Freezing,
    Pausing,
    Resending,
    Script,
    Signalled,
    Waking,
)

BEGINNING = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROOT = InstanceKey("tree", "root")
MOST_DELIVERIES = 300
MOST_RESCUES = 100


class ReadableStatusBucket(StatusBucket, Protocol):
    """A status bucket that shows what it has."""

    async def get(self, key: InstanceKey) -> Stored | None:
        """The newest document of the key."""
        ...


class Handed(FaultyDelivery):
    """A delivery as one process is handed it."""

    def __init__(self, inner: Delivery, faults: Faults, *, unfused: bool, unheard: bool):
        super().__init__(inner, faults)
        self._unfused = unfused
        self._unheard = unheard

    @property
    def attempt(self) -> int:
        """A redelivery is never fused."""
        return super().attempt + int(self._unfused)

    async def ack(self) -> None:
        """Said, and perhaps not heard."""
        if not self._unheard:
            await super().ack()


class FaultyTreeOutside(TreeOutside):
    """The outside world as one process reaches it; a process that stood still for longer than the
    call may take sends nothing any more."""

    def __init__(self, inner: TreeOutside, faults: Faults, monotonic: Callable[[], float]):
        super().__init__()
        self._inner = inner
        self._faults = faults
        self._monotonic = monotonic

    async def carry_out(self, call: Call, node: CallNode) -> str:
        """Two points."""
        begun = self._monotonic()
        await self._faults.reach("before call")
        if self._monotonic() - begun > call.timeout.total_seconds():
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


class Service(ABC):
    """One process at a time carries out deliveries; those that stand still are besides."""

    def __init__(
        self,
        store: DueStore,
        publisher: Publisher,
        statuses: ReadableStatusBucket,
        monotonic: Callable[[], float],
        settings: EngineSettings,
        *,
        unfused: bool = False,
    ):
        self.store = store
        self.witness: InstanceStore = store
        """The same, for those who look."""
        self.publisher = publisher
        self.statuses = statuses
        self.monotonic = monotonic
        self.clock = ManualClock(BEGINNING)
        self.outside = TreeOutside()
        self.deliveries = 0
        self._settings = settings
        self._unfused = unfused
        self._frozen: list[Frozen] = []
        self._sent_last: OutboxMessage | None = None
        self._resume_after: list[int] = []

    # -- what the twins and the servers have each their way of ----------------------------------

    @abstractmethod
    async def next_delivery(self) -> Delivery | None:
        """What is to be delivered now."""

    @abstractmethod
    async def outlast_leases(self) -> None:
        """Lets machine time go by until any lease has run out."""

    @abstractmethod
    async def pass_machine_time(self) -> bool:
        """Lets leases, redeliveries and wakes in vain run out; whether there was any."""

    @abstractmethod
    async def next_due_at(self) -> datetime | None:
        """When business time has something to do next."""

    @abstractmethod
    async def keys(self) -> list[InstanceKey]:
        """All instances."""

    @abstractmethod
    async def effects(self, workflow_id: str) -> list[str]:
        """The steps of an instance that took effect, in order."""

    @abstractmethod
    async def outbox(self) -> dict[str, bool]:
        """Whether each event that was committed has been sent, by id."""

    @abstractmethod
    async def events(self) -> list[bytes]:
        """What consumers of events saw, repeats dropped."""

    @abstractmethod
    async def letters(self) -> list[tuple[str, str, bytes]]:
        """Reasons, subjects and bodies of the dead letters."""

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
        await self.publisher.publish([message])

    # -- what is delivered ----------------------------------------------------------------------

    async def rest(self, disturbances: Iterable[Disturbance]) -> None:
        """Delivers until nothing is left to do at this instant of business time."""
        by_delivery: dict[int, list[Disturbance]] = {}
        for each in disturbances:
            by_delivery.setdefault(each.delivery, []).append(each)
        while True:
            if self.deliveries > MOST_DELIVERIES:
                raise AssertionError("it does not come to rest")
            delivery = await self.next_delivery()
            if delivery is not None:
                await self._deliver(delivery, by_delivery.get(self.deliveries, ()))
            elif self._frozen:
                await self._thaw(self._frozen[0])
            elif self._resume_after:
                await self._resume()
            elif not await self.pass_machine_time():
                return

    async def _deliver(self, delivery: Delivery, disturbances: Sequence[Disturbance]) -> None:
        faults = Faults()
        freezing: Freezing | None = None
        for each in disturbances:
            if isinstance(each, Cutting):
                faults = Faults(each.point)
            elif isinstance(each, Freezing):
                faults, freezing = Faults(each.point, freeze=True), each
        unheard = any(isinstance(each, Doubling) for each in disturbances)
        handed = Handed(delivery, faults, unfused=self._unfused, unheard=unheard)
        self.deliveries += 1
        task = asyncio.create_task(self._run(self._executor(faults), handed))
        reached = asyncio.create_task(faults.reached.wait())
        await asyncio.wait({task, reached}, return_when=asyncio.FIRST_COMPLETED)
        reached.cancel()
        if freezing is not None and not task.done():
            self._frozen.append(Frozen(faults, task, freezing.others))
            if freezing.long:
                await self.outlast_leases()
        else:
            await task
        for each in disturbances:
            await self._disturb(each)
        await self._count_down()

    async def _run(self, executor: Executor, delivery: Delivery) -> None:
        try:
            await executor.deliver(delivery)
        except Cut:
            pass
        except Interruption as escaped:
            raise AssertionError(f"{escaped!r} left the executor") from escaped

    async def _disturb(self, disturbance: Disturbance) -> None:
        match disturbance:
            case Waking():
                await self.publisher.publish([wake(key) for key in await self.keys()])
            case Resending() if self._sent_last is not None:
                await self._publish(self._sent_last)
            case Pausing():
                await self.control(Action.PAUSE)
                self._resume_after.append(self.deliveries + disturbance.others)
            case Ending():
                await self.control(Action.TERMINATE, rollback=True)
            case _:
                pass

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

    def _executor(self, faults: Faults) -> Executor:
        outside = FaultyTreeOutside(self.outside, faults, self.monotonic)
        return Executor(
            service="sample",
            registry=Registry([register(StartTree, TreeWorkflow(outside, self.clock))]),
            store=FaultyStore(self.store, faults),
            publisher=FaultyPublisher(self.publisher, faults),
            statuses=FaultyStatusBucket(self.statuses, faults),
            clock=self.clock,
            monotonic=self.monotonic,
            settings=self._settings,
        )


async def play(
    start: StartTree, script: Script, disturbances: Sequence[Disturbance], service: Service
) -> None:
    """Runs the tree until everything has ended."""
    events = sorted(enumerate(script), key=lambda event: event[1].seconds)
    for number, event in events:
        if event.seconds == 0 and isinstance(event, Signalled):
            await service.signal(number, event.by)
            await service.rest(disturbances)
    await service.start(start)
    upcoming = [(number, event) for number, event in events if event.seconds > 0]
    for rescue in count(1):
        await service.rest(disturbances)
        due_at = await service.next_due_at()
        at = BEGINNING + timedelta(seconds=upcoming[0][1].seconds) if upcoming else None
        if at is not None and (due_at is None or at <= due_at):
            number, event = upcoming.pop(0)
            service.clock.set(max(at, service.clock.now()))
            if isinstance(event, Signalled):
                await service.signal(number, event.by)
            else:
                await service.control(Action(event.action), rollback=event.rollback)
        elif due_at is not None:
            service.clock.set(max(due_at, service.clock.now()))
        elif await _all_ended(service):
            return
        elif rescue > MOST_RESCUES:
            raise AssertionError("it has not ended")
        else:
            # Somebody waits for a signal that the script does not have.
            await service.signal(100 + rescue, f"rescue {rescue}")


async def _all_ended(service: Service) -> bool:
    found = [await service.witness.load(key) for key in await service.keys()]
    return all(each is not None and each[0].status.ended for each in found)
