"""What steps and calls share: how a failed attempt is settled, and what `run` sees of the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from random import Random
from typing import Any, Literal

from shared.messages.workflows import ErrorInfo
from shared.workflow.branch import Branch, Slot
from shared.workflow.codec import decode_result, describe
from shared.workflow.errors import Failure, OutcomeUnknown, StepFailed, Suspended
from shared.workflow.execution import Execution
from shared.workflow.options import Options
from shared.workflow.records import Entry
from shared.workflow.step import SKIPPED


def wait_for_attempt(execution: Execution, branch: Branch, slot: Slot) -> datetime:
    """When the operation began. Raises Suspended while its next attempt is still to come."""
    now = execution.clock.now()
    recorded = slot.recorded
    if recorded is None:
        return now
    if recorded.due_at is not None and recorded.due_at > now:
        raise branch.interrupted(Suspended(recorded.due_at))
    return recorded.started_at


async def settle_failure(
    execution: Execution,
    branch: Branch,
    slot: Slot,
    failure: Failure,
    options: Options,
    *,
    final: Literal["failed", "unknown"] = "failed",
) -> Entry:
    """Records a failed attempt: another follows later, or the operation has failed for good, in the
    state `final`.

    Of what its body did nothing may be left in a transaction; what gathered before it, such as a
    sleep that is over or a signal that was read, commits with the failure.
    """
    instance = execution.instance
    now = execution.clock.now()
    error = describe(failure.error, slot.key.name)
    random = Random(f"{instance.key}/{instance.run}/{slot.key}/{failure.attempt}")
    delay = options.retry.delay_after(failure.attempt, failure.error, random)
    if delay is not None:
        retrying = slot.entry(
            "retrying",
            attempts=failure.attempt,
            started_at=failure.started_at,
            due_at=now + delay,
            error=error,
        )
        execution.gather(branch, retrying)
        raise branch.interrupted(Suspended(now + delay, retry=delay))
    failed = slot.entry(
        final,
        attempts=failure.attempt,
        started_at=failure.started_at,
        finished_at=now,
        error=error,
    )
    execution.gather(branch, failed)
    await execution.commit_running(branch)
    return failed


def result_of(name: str, entry: Entry, function: Callable[..., Awaitable[Any]]) -> Any:
    """What `function` returned, or SKIPPED. Raises StepFailed, or OutcomeUnknown.

    Decoded even when it was made just now: run() sees what every replay will see.
    """
    if entry.state == "skipped":
        return SKIPPED
    error = entry.error or ErrorInfo(name="unknown", message="no reason was recorded")
    if entry.state == "unknown":
        raise OutcomeUnknown(name, error.name, error.message)
    if entry.state == "failed":
        raise StepFailed(name, error.name, error.message)
    return decode_result(entry.result or b"null", function)
