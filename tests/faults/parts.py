"""What the crash sweep plays: the plain workflow, and the journey that does everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Action, ControlCommand, SignalCommand, Status, Trigger
from shared.testing.faults import Faults
from shared.testing.journeys import (
    Approved,
    ErrandWorkflow,
    JourneyReport,
    JourneyWorkflow,
    Outside,
    StartErrand,
    StartJourney,
)
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.call import Call, NotFound, Unknown
from shared.workflow.records import Entry, Instance, InstanceKey, OutboxMessage
from shared.workflow.registry import Registration, register
from tests.faults.agreement import check_agreement, effects_of, same
from tests.faults.sweep import World

Cue = tuple[Callable[[Instance | None, list[Entry]], bool], OutboxMessage]
"""When somebody publishes what."""


@dataclass
class SamplePart:
    """Steps one after another, with a retry and a sleep if the start says so."""

    start: StartSample
    workflow: SampleWorkflow = field(default_factory=SampleWorkflow)

    def __post_init__(self) -> None:
        self.key = InstanceKey("sample", self.start.id or "")
        self._cues = [_start_cue(self.start)]

    def registrations(self, faults: Faults) -> list[Registration]:
        """See sweep.Part."""
        return [register(StartSample, self.workflow)]

    def cue(self, instance: Instance | None, entries: list[Entry]) -> OutboxMessage | None:
        """See sweep.Part."""
        return _next(self._cues, instance, entries)

    def rest(self) -> list[OutboxMessage]:
        """See sweep.Part."""
        return _rest(self._cues)

    async def check(self, world: World) -> None:
        """All steps are there, in their order."""
        steps = [f"step_{number}" for number in range(self.start.steps)]
        _, entries = await check_agreement(world, self.key)
        same("journal", [entry.name for entry in entries if entry.type == "step"], steps)
        same("states", {entry.state for entry in entries}, {"complete"})
        same("effects", await effects_of(world, self.key.id), steps)


@dataclass
class JourneyPart:
    """Steps, a call, branches, a sleep, a signal and a child, all undone if the start says so."""

    start: StartJourney
    early: bool = True
    """The signal is there before the instance is; else it comes when it is waited for."""
    paused: bool = False
    """It is paused and resumed on the way."""
    outside: Outside = field(default_factory=Outside)

    def __post_init__(self) -> None:
        self.key = InstanceKey("journey", self.start.id or "")
        start, signal = _start_cue(self.start), self._signal
        self._cues = [(_always, signal), start] if self.early else [start]
        if self.paused:
            self._cues += [
                (_sleeps, _control(self.key, Action.PAUSE)),
                (_is_paused, _control(self.key, Action.RESUME)),
            ]
        if not self.early:
            self._cues.append((_waits_for_signal, signal))

    @property
    def _signal(self) -> OutboxMessage:
        command = SignalCommand(type=Approved.type, payload=msgspec.Raw(encode(Approved(by="ann"))))
        return OutboxMessage(
            id=f"approval/{self.key}",
            subject=subjects.signal(*self.key),
            body=encode(command),
        )

    def registrations(self, faults: Faults) -> list[Registration]:
        """See sweep.Part."""
        return [
            register(StartJourney, JourneyWorkflow(FaultyOutside(self.outside, faults))),
            register(StartErrand, ErrandWorkflow()),
        ]

    def cue(self, instance: Instance | None, entries: list[Entry]) -> OutboxMessage | None:
        """See sweep.Part."""
        return _next(self._cues, instance, entries)

    def rest(self) -> list[OutboxMessage]:
        """See sweep.Part."""
        return _rest(self._cues)

    async def check(self, world: World) -> None:
        """Everything happened once, and was undone once, last first, if it had to be."""
        instance, entries = await check_agreement(world, self.key)
        effects = await effects_of(world, self.key.id)
        done = [entry for entry in entries if entry.path != "undo"]
        failed = {entry.name for entry in done if entry.state != "complete"}
        same("failed", failed, {"arrive"} if self.start.fails else set[str]())
        same("effects of steps", sorted(effects)[: len(self._steps)], sorted(self._steps))
        same("calls", list(self.outside.carried_out.values()), [1])
        same("calls that were repeated", dict(self.outside.repeated), {})
        if self.start.fails:
            self._check_undone(instance, entries, effects)
        else:
            same("status", instance.status, Status.COMPLETE)
            report = msgspec.json.decode(instance.output or b"null", type=JourneyReport)
            ticket = f"ticket for {self.key.id}"
            same("output", report, JourneyReport(ticket, ["left", "further"], "ann", "errand"))
            same("undone calls", dict(self.outside.undone), {})
        await self._check_child(world, entries)

    @property
    def _steps(self) -> list[str]:
        return ["pack", "left", "right", "further", *([] if self.start.fails else ["arrive"])]

    def _check_undone(self, instance: Instance, entries: list[Entry], effects: list[str]) -> None:
        same("status", (instance.status, instance.rollback), (Status.ERRORED, "complete"))
        same("reason", instance.error and instance.error.name, "no_room")
        undone = {"pack", "ticket", "left", "right"}
        begun = sorted(
            (entry for entry in entries if entry.path != "undo" and entry.name in undone),
            key=lambda entry: -entry.ordinal,
        )
        last_first = [entry.name for entry in begun]
        same("undone", [entry.name for entry in entries if entry.path == "undo"], last_first)
        steps = [f"undo {name}" for name in last_first if name != "ticket"]
        same("effects of undoing", effects[len(self._steps) :], steps)
        same("undone calls", len(self.outside.undone), 1)

    async def _check_child(self, world: World, entries: list[Entry]) -> None:
        children = [entry.result for entry in entries if entry.type == "child"]
        same("children", len(children), 1)
        kind, workflow_id, _ = msgspec.json.decode(
            children[0] or b"null", type=tuple[str, str, int]
        )
        key = InstanceKey(kind, workflow_id)
        child, _ = await check_agreement(world, key)
        same("child", (child.status, child.output), (Status.COMPLETE, b'"errand"'))
        same("parent", child.parent and child.parent.key, self.key)
        same("effects of the child", await effects_of(world, key.id), ["errand"])


class FaultyOutside(Outside):
    """The outside world as one process reaches it."""

    def __init__(self, inner: Outside, faults: Faults):
        super().__init__()
        self._inner = inner
        self._faults = faults

    async def carry_out(self, call: Call, what: str) -> str:
        """Two points."""
        async with self._faults.around("call"):
            return await self._inner.carry_out(call, what)

    async def look_up(self, call: Call, what: str) -> str | NotFound | Unknown:
        """Two points."""
        async with self._faults.around("look-up"):
            return await self._inner.look_up(call, what)

    async def undo(self, call: Call, result: str | None) -> None:
        """Two points."""
        async with self._faults.around("undo"):
            await self._inner.undo(call, result)


def _start_cue(start: Trigger) -> Cue:
    message = OutboxMessage(
        id=f"{start.kind}.{start.id}",
        subject=subjects.start(start.kind),
        body=encode(start),
        headers={subjects.WORKFLOW_ID: start.id or ""},
    )
    return (_always, message)


def _control(key: InstanceKey, action: Action) -> OutboxMessage:
    return OutboxMessage(
        id=f"{action}/{key}",
        subject=subjects.control(key.kind),
        body=encode(ControlCommand(id=key.id, action=action)),
    )


def _sleeps(instance: Instance | None, entries: list[Entry]) -> bool:
    return any(entry.state == "sleeping" for entry in entries)


def _is_paused(instance: Instance | None, entries: list[Entry]) -> bool:
    return instance is not None and instance.status is Status.PAUSED


def _always(instance: Instance | None, entries: list[Entry]) -> bool:
    return True


def _waits_for_signal(instance: Instance | None, entries: list[Entry]) -> bool:
    return any(entry.state == "waiting" for entry in entries)


def _next(cues: list[Cue], instance: Instance | None, entries: list[Entry]) -> OutboxMessage | None:
    if cues and cues[0][0](instance, entries):
        return cues.pop(0)[1]
    return None


def _rest(cues: list[Cue]) -> list[OutboxMessage]:
    messages = [message for _, message in cues]
    cues.clear()
    return messages
