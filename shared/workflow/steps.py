"""`ctx.step`: a body in a transaction, exactly once, with its attempts in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from shared.workflow import tracing
from shared.workflow.attempts import result_of, settle_failure, wait_for_attempt
from shared.workflow.branch import Branch, Slot
from shared.workflow.codec import encode_result
from shared.workflow.compensation import Compensation
from shared.workflow.errors import (
    Dropped,
    Failure,
    SegmentAborted,
    StepCancelled,
    StepTimeout,
    Transient,
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
    compensate: Callable[..., Awaitable[Any]] | None = None,
    operation: str = "step",
) -> Any:
    """Runs `body`, or returns what `function` returned in an earlier run. Raises StepFailed."""
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, operation)
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
        else:
            entry = await _attempt(execution, branch, slot, body, options)
    result = result_of(name, entry, function)
    if compensate is not None and result is not SKIPPED:
        execution.compensations.append(
            Compensation(slot.ordinal, name, "step", compensate, result, options)
        )
    return result


async def _attempt(
    execution: Execution, branch: Branch, slot: Slot, body: Body, options: Options
) -> Entry:
    started_at = wait_for_attempt(execution, branch, slot)
    failure = execution.failure_at(slot.key)
    if failure is None:
        try:
            with tracing.span(f"step {slot.key.name}", step=slot.key.name, attempt=slot.attempt):
                return await _run(execution, branch, slot, body, options)
        except Transient as error:
            raise execution.life.interrupted(Dropped(str(error))) from error
        except Exception as error:
            if execution.is_transient(branch, error):
                raise execution.life.interrupted(Dropped(str(error))) from error
            failure = Failure(slot.key, slot.attempt, started_at, error)
            if execution.claim.fused:
                raise execution.life.interrupted(SegmentAborted(failure)) from error
            await branch.segment.end()
    return await settle_failure(execution, branch, slot, failure, options)


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
    execution.gather(branch, entry, step=step)
    if not execution.claim.fused:
        await execution.commit_running(branch)
    return entry


async def _run_body(
    execution: Execution, branch: Branch, slot: Slot, body: Body, options: Options
) -> tuple[Any, Step]:
    transaction = await execution.claim.open(branch.segment)
    instance = execution.instance
    step = Step(
        transaction.connection,
        branch.now,
        f"{instance.key}/{instance.run}/{slot.key}",
        instance.key.id,
    )
    if options.timeout is None:
        return await uncancelled(body(step)), step
    seconds = options.timeout.total_seconds()
    if seconds > execution.settings.lease_seconds:
        await transaction.allow_idle(seconds)
    return await within(seconds, body(step)), step


async def within(seconds: float, body: Awaitable[Any]) -> Any:
    """The body's result. Raises StepTimeout when it takes longer, in machine time."""
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await uncancelled(body)
    except TimeoutError as error:
        if bound.expired():
            raise StepTimeout(f"took longer than {seconds:g} s") from error
        raise


async def uncancelled(body: Awaitable[Any]) -> Any:
    """The body's result. Raises StepCancelled when what it awaited was cancelled, not the worker:
    that is an attempt, and would else end the worker's task without a word."""
    try:
        return await body
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise StepCancelled("something that was awaited in it was cancelled") from error
