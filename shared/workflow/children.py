"""`ctx.start_child`: another instance of the same service, whose end its parent may await."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar
from uuid import uuid5

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import ChildOutcome, ErrorInfo, Status, Trigger
from shared.workflow.branch import Branch
from shared.workflow.errors import ChildFailed, WorkflowMisuse
from shared.workflow.execution import Execution
from shared.workflow.facts import NAMESPACE
from shared.workflow.inbox import notice_name
from shared.workflow.records import (
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    OutboxMessage,
    Parent,
    StreamPosition,
)
from shared.workflow.signals import read_or_wait

T = TypeVar("T")


class Child:
    """A child that has been started."""

    def __init__(self, execution: Execution, branch: Branch, key: InstanceKey):
        self._execution = execution
        self._branch = branch
        self._key = key

    @property
    def id(self) -> str:
        """Id of the child's instance."""
        return self._key.id

    async def result(self, output: type[T]) -> T:
        """The child's output, once it is complete. Raises ChildFailed when it ends otherwise."""
        return await _run_result(self._execution, self._branch, self._key, output)


async def run_start_child(
    execution: Execution, branch: Branch, name: str, trigger: Trigger
) -> Child:
    """Starts the child with the commit of what precedes it, once."""
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
            return Child(execution, branch, _key(entry))
        instance = execution.instance
        place = f"{instance.key}/{instance.run}/{slot.key.path}/{name}/{slot.key.occurrence}"
        key = InstanceKey(trigger.kind, trigger.id or str(uuid5(NAMESPACE, place)))
        now = execution.clock.now()
        entry = slot.entry(
            "complete", started_at=now, finished_at=now, result=msgspec.json.encode(key)
        )
        message = OutboxMessage(
            id=f"child/{place}",
            subject=subjects.start(key.kind),
            body=encode(trigger),
            headers={
                subjects.WORKFLOW_ID: key.id,
                subjects.PARENT: str(Parent(*instance.key, instance.run)),
                subjects.ACTOR: instance.actor or f"workflow:{instance.key}",
                subjects.CREATED_AT: now.isoformat(),
            },
        )
        execution.gather(branch, entry, message=message)
        if not execution.fused:
            await execution.commit_running(branch)
        return Child(execution, branch, key)


async def _run_result(execution: Execution, branch: Branch, key: InstanceKey, output: type[T]) -> T:
    name = str(key)
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "result")
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
        else:
            entry = await read_or_wait(
                execution,
                branch,
                entry or slot.entry("waiting", started_at=execution.clock.now()),
                notice_name(name, execution.instance.run),
                is_new=entry is None,
                is_over=False,
            )
        outcome = msgspec.json.decode(entry.result or b"null", type=ChildOutcome)
        if outcome.status is Status.COMPLETE:
            return msgspec.json.decode(outcome.output, type=output)
        error = outcome.error or ErrorInfo(name=outcome.status, message=f"{name} was ended")
        raise ChildFailed(name, error.name, error.message)


def notice_of(instance: Instance, status: Status, now: datetime) -> InboxMessage | None:
    """What the parent of an ending instance is told (rule 24)."""
    parent = instance.parent
    if parent is None:
        return None
    outcome = ChildOutcome(
        status=status,
        output=msgspec.Raw(instance.output or b"null"),
        error=instance.error,
    )
    return _notice(instance.key, instance.run, parent, outcome, now)


def refusal_of(key: InstanceKey, parent: Parent, error: ErrorInfo, now: datetime) -> InboxMessage:
    """What a parent is told whose child cannot begin, so that it does not wait for ever."""
    return _notice(key, 0, parent, ChildOutcome(status=Status.ERRORED, error=error), now)


def _notice(
    key: InstanceKey, run: int, parent: Parent, outcome: ChildOutcome, now: datetime
) -> InboxMessage:
    return InboxMessage(
        message_id=f"{key}/{run}/{parent.run}",
        category="notice",
        type=f"{key}/{parent.run}",
        payload=encode(outcome),
        position=StreamPosition("", run),
        created_at=now,
    )


def orphans(entries: Iterable[Entry]) -> list[InstanceKey]:
    """The children whose end a run has not been told yet."""
    entries = tuple(entries)
    ended = {entry.name for entry in entries if entry.type == "result" and entry.finished}
    started = [_key(entry) for entry in entries if entry.type == "child"]
    return [key for key in started if str(key) not in ended]


def _key(entry: Entry) -> InstanceKey:
    return msgspec.json.decode(entry.result or b"null", type=InstanceKey)
