"""`ctx.start_child`: another instance of the same service, whose end its parent may await."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import uuid5

import msgspec
from msgspec.structs import replace

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.workflows import ChildOutcome, ErrorInfo, Status, Trigger
from shared.workflow import tracing
from shared.workflow.branch import Branch
from shared.workflow.errors import ChildFailed, NonRetryableError, WorkflowMisuse
from shared.workflow.execution import Execution
from shared.workflow.facts import NAMESPACE
from shared.workflow.inbox import notice_name
from shared.workflow.records import (
    Entry,
    EntryKey,
    InboxMessage,
    Instance,
    InstanceKey,
    Notice,
    OutboxMessage,
    Parent,
    StreamPosition,
)
from shared.workflow.signals import read_or_wait

T = TypeVar("T")


class Started(NamedTuple):
    """A child, and the run of its parent that started it; a later run may have kept it."""

    kind: str
    id: str
    run: int

    @property
    def key(self) -> InstanceKey:
        """The child's instance."""
        return InstanceKey(self.kind, self.id)


class Child:
    """A child that has been started."""

    def __init__(self, execution: Execution, branch: Branch, started: Started):
        self._execution = execution
        self._branch = branch
        self._started = started

    @property
    def id(self) -> str:
        """Id of the child's instance."""
        return self._started.id

    async def result(self, output: type[T]) -> T:
        """The child's output, once it is complete; the same whenever it is asked for. Raises
        ChildFailed when it ends otherwise."""
        return await _run_result(self._execution, self._branch, self._started, output)


async def run_start_child(
    execution: Execution, branch: Branch, name: str, trigger: Trigger
) -> Child:
    """Starts the child with the commit of what precedes it, once.

    Raises NonRetryableError over 1 MiB: once committed, what no stream takes could never begin.
    """
    if trigger.kind not in execution.kinds:
        raise WorkflowMisuse(
            f"{name!r} starts a {trigger.kind!r}, which this service does not run: children live "
            "in the service of their parent"
        )
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "child")
        entry = slot.recorded
        if entry is not None:
            branch.advance(entry)
            return Child(execution, branch, _started(entry))
        instance = execution.instance
        place = f"{instance.key}/{instance.run}/{slot.key.path}/{name}/{slot.key.occurrence}"
        key = InstanceKey(trigger.kind, trigger.id or str(uuid5(NAMESPACE, place)))
        now = execution.clock.now()
        started = Started(*key, instance.run)
        entry = slot.entry(
            "complete", started_at=now, finished_at=now, result=msgspec.json.encode(started)
        )
        body = encode(trigger)
        if len(body) > MAX_CONTENT_BYTES:
            raise NonRetryableError(
                "child_too_large", f"{name!r} starts {key} with {len(body)} bytes"
            )
        message = OutboxMessage(
            id=f"child/{place}",
            subject=subjects.start(key.kind),
            body=body,
            headers={
                **tracing.outgoing(),
                subjects.WORKFLOW_ID: key.id,
                subjects.PARENT: str(Parent(*instance.key, instance.run)),
                subjects.ACTOR: instance.actor or f"workflow:{instance.key}",
                subjects.CREATED_AT: now.isoformat(),
            },
        )
        execution.gather(branch, entry, message=message)
        if not execution.claim.fused:
            await execution.commit_running(branch)
        return Child(execution, branch, started)


async def _run_result(execution: Execution, branch: Branch, started: Started, output: type[T]) -> T:
    name = str(started.key)
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "result")
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
        else:
            now, is_new = execution.clock.now(), entry is None
            entry = entry or slot.entry("waiting", started_at=now)
            told = _told(execution, branch, name)
            if told is None:
                wanted = notice_name(name, started.run)
                entry = await read_or_wait(
                    execution, branch, entry, wanted, is_new=is_new, is_over=False
                )
            else:
                # Its notice has been read, and no other comes.
                entry = replace(entry, state="complete", finished_at=now, result=told.result)
                execution.gather(branch, entry)
                if not execution.claim.fused:
                    await execution.commit_running(branch)
        outcome = msgspec.json.decode(entry.result or b"null", type=ChildOutcome)
        if outcome.status is Status.COMPLETE:
            return msgspec.json.decode(outcome.output, type=output)
        error = outcome.error or ErrorInfo(name=outcome.status, message=f"{name} was ended")
        raise ChildFailed(name, error.name, error.message)


def _told(execution: Execution, branch: Branch, name: str) -> Entry | None:
    """The end of a child that the run has been told before."""
    known = (*execution.journal.values(), *branch.segment.entries)
    results = (entry for entry in known if entry.type == "result" and entry.name == name)
    return next((entry for entry in results if entry.finished), None)


def notices_of(instance: Instance, status: Status, now: datetime) -> list[Notice]:
    """What the parent of an ending instance, if it has one, is told (rule 24)."""
    parent = instance.parent
    if parent is None:
        return []
    outcome = ChildOutcome(
        status=status,
        output=msgspec.Raw(instance.output or b"null"),
        error=instance.error,
    )
    return [_notice(instance.key, instance.run, parent, outcome, now)]


def refusal_of(key: InstanceKey, parent: Parent, error: ErrorInfo, now: datetime) -> Notice:
    """What a parent is told whose child cannot begin, so that it does not wait for ever."""
    return _notice(key, 0, parent, ChildOutcome(status=Status.ERRORED, error=error), now)


def _notice(
    key: InstanceKey, run: int, parent: Parent, outcome: ChildOutcome, now: datetime
) -> Notice:
    message = InboxMessage(
        message_id=f"{key}/{run}/{parent.run}",
        category="notice",
        type=f"{key}/{parent.run}",
        payload=encode(outcome),
        position=StreamPosition("", run),
        created_at=now,
    )
    return Notice(parent.key, message)


def notices_again(
    instance: Instance, entries: Iterable[Entry], kept: Collection[EntryKey], now: datetime
) -> list[Notice]:
    """What the next run must be told again: the ends of children whose starts it keeps and whose
    results it does not."""
    entries = tuple(entries)
    results = [entry for entry in entries if entry.type == "result" and entry.finished]
    known = {entry.name for entry in results if entry.key in kept}
    lost = {entry.name: entry for entry in results if entry.name not in known}
    children = [_started(entry) for entry in entries if entry.type == "child" and entry.key in kept]
    return [
        Notice(
            instance.key,
            InboxMessage(
                message_id=f"{child.key}/again/{instance.run}",
                category="notice",
                type=f"{child.key}/{child.run}",
                payload=lost[str(child.key)].result or b"null",
                position=StreamPosition("", instance.run),
                created_at=now,
            ),
        )
        for child in children
        if str(child.key) in lost
    ]


def orphans(entries: Iterable[Entry]) -> list[InstanceKey]:
    """The children whose end a run has not been told yet."""
    entries = tuple(entries)
    ended = {entry.name for entry in entries if entry.type == "result" and entry.finished}
    started = [_started(entry).key for entry in entries if entry.type == "child"]
    return [key for key in started if str(key) not in ended]


def _started(entry: Entry) -> Started:
    return msgspec.json.decode(entry.result or b"null", type=Started)
