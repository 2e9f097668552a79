"""`ctx.step`: a body in a transaction, exactly once, with its attempts in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from shared.messages.workflows import ErrorInfo
from shared.workflow import tracing
from shared.workflow.branch import Branch, Slot
from shared.workflow.codec import decode_result, describe, encode_result
from shared.workflow.errors import (
    Dropped,
    Failure,
    SegmentAborted,
    StepCancelled,
    StepFailed,
    StepTimeout,
    Transient,
    WorkflowMisuse,
)
from shared.workflow.execution import Execution
from shared.workflow.options import Options
from shared.workflow.records import Entry
from shared.workflow.step import SKIPPED, Step

Body = Callable[[Step], Awaitable[Any]]


async def run_step(
    execution: Execution,
    branch: Branch,
    name: str,
    *,
    function: Callable[..., Awaitable[Any]],
    body: Body,
    options: Options,
) -> Any:
    """Runs `body`, or returns what `function` returned in an earlier run. Raises StepFailed."""
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "step")
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
        else:
            entry = await _attempt(execution, branch, slot, body, options)
    if entry.state == "skipped":
        return SKIPPED
    if entry.state == "failed":
        error = entry.error or ErrorInfo(name="unknown", message="no reason was recorded")
        raise StepFailed(name, error.name, error.message)
    # Decoded even when it was made just now: run() sees what every replay will see.
    return decode_result(entry.result or b"null", function)


async def _attempt(
    execution: Execution, branch: Branch, slot: Slot, body: Body, options: Options
) -> Entry:
    recorded = slot.recorded
    now = execution.clock.now()
    if recorded is not None and recorded.due_at is not None and recorded.due_at > now:
        await execution.not_yet(recorded.due_at)
    started_at = recorded.started_at if recorded else now
    failure = execution.failure_at(slot.key)
    if failure is None:
        try:
            with tracing.span(f"step {slot.key.name}", step=slot.key.name, attempt=slot.attempt):
                return await _run(execution, branch, slot, body, options)
        except Transient as error:
            raise execution.interrupted(Dropped(str(error))) from error
        except WorkflowMisuse:
            raise
        except Exception as error:
            if execution.is_transient(error):
                raise execution.interrupted(Dropped(str(error))) from error
            failure = Failure(slot.key, started_at, error)
            if execution.fused:
                raise execution.interrupted(SegmentAborted(failure)) from error
    return await _settle_failure(execution, branch, slot, failure, options)


async def _run(
    execution: Execution, branch: Branch, slot: Slot, body: Body, options: Options
) -> Entry:
    started_at = slot.recorded.started_at if slot.recorded else execution.clock.now()
    result, step = await _run_body(execution, branch, slot, body, options)
    skipped = result is SKIPPED
    entry = slot.entry(
        "skipped" if skipped else "complete",
        attempts=slot.attempt,
        started_at=started_at,
        finished_at=execution.clock.now(),
        result=None if skipped else encode_result(result, slot.key.name),
    )
    execution.gather(branch, entry, step)
    if not execution.fused:
        await execution.commit_running()
    return entry


async def _run_body(
    execution: Execution, branch: Branch, slot: Slot, body: Body, options: Options
) -> tuple[Any, Step]:
    transaction = await execution.open()
    instance = execution.instance
    step = Step(
        transaction.connection,
        branch.now,
        f"{instance.key}/{instance.run}/{slot.key}",
        instance.key.id,
    )
    if options.timeout is None:
        return await _uncancelled(body(step)), step
    seconds = options.timeout.total_seconds()
    if seconds > execution.settings.lease_seconds:
        await transaction.allow_idle(seconds)
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await _uncancelled(body(step)), step
    except TimeoutError as error:
        if bound.expired():
            raise StepTimeout(f"took longer than {seconds:g} s") from error
        raise


async def _uncancelled(body: Awaitable[Any]) -> Any:
    """The body's result. Raises StepCancelled when what it awaited was cancelled, not the worker:
    that is an attempt, and would else end the worker's task without a word."""
    try:
        return await body
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise StepCancelled("something that the step awaited was cancelled") from error


async def _settle_failure(
    execution: Execution, branch: Branch, slot: Slot, failure: Failure, options: Options
) -> Entry:
    """Records a failed attempt: another follows later, or the step has failed for good."""
    await execution.discard()
    instance = execution.instance
    now = execution.clock.now()
    error = describe(failure.error, slot.key.name)
    random = Random(f"{instance.key}/{instance.run}/{slot.key}/{slot.attempt}")
    delay = options.retry.delay_after(slot.attempt, failure.error, random)
    if delay is not None:
        retrying = slot.entry(
            "retrying",
            attempts=slot.attempt,
            started_at=failure.started_at,
            due_at=now + delay,
            error=error,
        )
        execution.gather(branch, retrying)
        await execution.retry_at(now + delay, delay)
    failed = slot.entry(
        "failed",
        attempts=slot.attempt,
        started_at=failure.started_at,
        finished_at=now,
        error=error,
    )
    execution.gather(branch, failed)
    await execution.commit_running()
    return failed
