"""Workflows whose code is the test's own, what is sent to them, and what happens between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from typing import TypeAlias

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    Action,
    ControlCommand,
    Signal,
    SignalCommand,
    Trigger,
    Wake,
)
from shared.testing.faults import Faults, FaultyStore
from shared.testing.memory_delivery import MemoryDelivery
from shared.testing.rig import Rig
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.options import Retry
from shared.workflow.ports import Predecessor
from shared.workflow.registry import register
from shared.workflow.step import Step

KIND, CHILD = "script", "errand"
HOUR = timedelta(hours=1)


class Word(Signal, frozen=True, kw_only=True):
    type = "word"

    text: str


class Nod(Signal, frozen=True, kw_only=True):
    type = "nod"


class StartScript(Trigger, frozen=True, kw_only=True):
    kind = KIND
    service = "sample"
    signals = (Word, Nod)


class StartErrand(Trigger, frozen=True, kw_only=True):
    kind = CHILD
    service = "sample"
    signals = (Word,)

    note: str = ""


Run: TypeAlias = Callable[[WorkflowContext], Awaitable[object]]


class Script:
    """Runs the code that it is given."""

    def __init__(self, run: Run, kind: str = KIND):
        self.kind = kind
        self._run = run

    async def run(self, ctx: WorkflowContext, start: Trigger) -> object:
        return await self._run(ctx)


async def leave_row(step: Step, name: str) -> str:
    """Appends to the effect log."""
    await step.connection.execute(
        "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)", step.workflow_id, name
    )
    return name


async def undo_row(step: Step, name: str) -> None:
    """Undoes it, by another row."""
    await leave_row(step, f"undo {name}")


async def do_nothing(ctx: WorkflowContext) -> None:
    """The errand of those who do not care for it."""


def replica(of: Rig, run: Run, child: Run = do_nothing, *, faults: Faults | None = None) -> Rig:
    """Another process of the service over the same store, clock, stream and bucket."""
    return Rig(
        [register(StartScript, Script(run)), register(StartErrand, Script(child, CHILD))],
        clock=of.clock,
        settings=of.settings,
        store=of.store if faults is None else FaultyStore(of.store, faults),
        publisher=of.publisher,
        statuses=of.statuses,
    )


class Meddler(Faults):
    """Does something each time that a process comes to a point, or to one of its passes."""

    def __init__(self, point: str, act: Callable[[], Awaitable[object]], *, times: int = 1):
        super().__init__()
        self._point = point
        self._act = act
        self._left = times

    async def reach(self, point: str) -> None:
        """Meddles."""
        self.passed.append(point)
        if point == self._point and self._left:
            self._left -= 1
            await self._act()


class Stream:
    """Deliveries in the order in which they were published, whenever they are handed over."""

    def __init__(self, workflow_id: str = "one", kind: str = KIND):
        self._id = workflow_id
        self._kind = kind
        self._sequence = count(1)

    def signal(
        self, signal: Signal, *, signal_id: str | None = None, after: MemoryDelivery | None = None
    ) -> MemoryDelivery:
        """A signal; `after` one that stands before it and is not settled yet."""
        command = SignalCommand(type=signal.type, payload=msgspec.Raw(encode(signal)), id=signal_id)
        delivery = self._delivery(subjects.signal(self._kind, self._id), encode(command))
        if after is not None:
            delivery.earlier = [Predecessor(after.position, after.headers, after.body)]
        return delivery

    def control(
        self, action: Action, *, rollback: bool = False, from_step: str | None = None
    ) -> MemoryDelivery:
        """A control."""
        command = ControlCommand(id=self._id, action=action, rollback=rollback, from_step=from_step)
        return self._delivery(subjects.control(self._kind), encode(command))

    def start(self) -> MemoryDelivery:
        """A start."""
        delivery = self._delivery(subjects.start(self._kind), b"{}")
        delivery.headers[subjects.WORKFLOW_ID] = self._id
        return delivery

    def wake(self) -> MemoryDelivery:
        """A wake."""
        return self._delivery(subjects.wake(self._kind), encode(Wake(id=self._id)))

    def _delivery(self, subject: str, body: bytes) -> MemoryDelivery:
        return MemoryDelivery(subject, body, origin=f"STREAM/2026/{next(self._sequence)}")


def again(delivery: MemoryDelivery) -> MemoryDelivery:
    """Its next delivery."""
    return MemoryDelivery(
        delivery.subject,
        delivery.body,
        dict(delivery.headers),
        attempt=delivery.attempt + 1,
        origin=delivery.origin,
        earlier=delivery.earlier,
    )


async def two_steps(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first", compensate=undo_row)
    return await ctx.step("second", leave_row, "second", compensate=undo_row)


async def sleep_between(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first", compensate=undo_row)
    await ctx.sleep("night", HOUR)
    return await ctx.step("second", leave_row, "second")


async def wait_between(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first", compensate=undo_row)
    return (await ctx.wait_for_signal("word", Word, HOUR)).text


async def retry_between(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first", compensate=undo_row)
    retrying = ctx.options(retry=Retry(max_attempts=5, delay=HOUR))
    return await retrying.step("fails", fail)


async def fail(step: Step) -> str:
    raise RuntimeError("told to fail")


async def fail_for_good(step: Step) -> str:
    raise NonRetryableError("no_room", "there is no room")


async def fail_and_undo(ctx: WorkflowContext) -> str:
    await ctx.step("first", leave_row, "first", compensate=undo_row)
    return await ctx.step("fails", fail_for_good)
