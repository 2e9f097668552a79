"""`ctx.wait_for_signal`: suspends a path until a signal of a type lies in the inbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from shared.messages.workflows import ErrorInfo, Signal
from shared.workflow.branch import Branch
from shared.workflow.errors import SignalTimeout, Suspended, WorkflowMisuse
from shared.workflow.execution import Execution
from shared.workflow.inbox import signal_name
from shared.workflow.records import Entry, InboxMessage

S = TypeVar("S", bound=Signal)


async def run_wait(
    execution: Execution, branch: Branch, name: str, signal: type[S], timeout: timedelta | None
) -> S:
    """The first unread signal of the type. Raises SignalTimeout."""
    if signal not in execution.signals:
        raise WorkflowMisuse(
            f"{name!r} waits for {signal.__name__}, which the trigger's `signals` do not name: "
            "nobody could send it"
        )
    wanted = signal_name(signal.type)
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "signal")
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
            return _received(name, entry, signal)
        now = execution.clock.now()
        if entry is None:
            due_at = None if timeout is None else branch.now + timeout
            entry = slot.entry("waiting", started_at=now, due_at=due_at)
        is_over = entry.due_at is not None and entry.due_at <= now
        entry = await read_or_wait(
            execution, branch, entry, wanted, is_new=slot.recorded is None, is_over=is_over
        )
        return _received(name, entry, signal)


async def read_or_wait(
    execution: Execution, branch: Branch, entry: Entry, wanted: str, *, is_new: bool, is_over: bool
) -> Entry:
    """The entry with what the inbox has for it, or timed out. Raises Suspended otherwise.

    The inbox is read before a time-out is believed (rule 13).
    """
    await execution.inbox.refresh(always=is_over)
    message = execution.inbox.take(wanted)
    if message is None and not is_over:
        if is_new:
            execution.gather(branch, entry)
        raise branch.interrupted(Suspended(entry.due_at, wanted=frozenset({wanted})))
    finished = _finished(entry, message, execution)
    execution.gather(branch, finished, taken=message)
    if not execution.claim.fused:
        await execution.commit_running(branch)
    return finished


def _finished(entry: Entry, message: InboxMessage | None, execution: Execution) -> Entry:
    now = execution.clock.now()
    if message is None:
        error = ErrorInfo(name="signal_timeout", message="none came in time", step=entry.name)
        return replace(entry, state="failed", finished_at=now, error=error)
    return replace(entry, state="complete", finished_at=now, result=message.payload)


def _received(name: str, entry: Entry, signal: type[S]) -> S:
    if entry.state == "failed":
        raise SignalTimeout(name, "signal_timeout", "none came in time")
    payload: Any = entry.result or b"null"
    return msgspec.json.decode(payload, type=signal)
