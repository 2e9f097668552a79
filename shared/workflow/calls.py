"""`ctx.call`: the outside world, with every attempt committed before it is made (rule 18)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from msgspec.structs import replace

from shared.messages.workflows import ErrorInfo
from shared.workflow import tracing
from shared.workflow.attempts import result_of, settle_failure, wait_for_attempt
from shared.workflow.branch import Branch, Slot
from shared.workflow.call import NOT_FOUND, UNKNOWN, Call
from shared.workflow.codec import describe, encode_result
from shared.workflow.compensation import Compensation
from shared.workflow.errors import (
    CallInterrupted,
    Failure,
    NonRetryableError,
    NotSent,
    Suspended,
)
from shared.workflow.execution import Execution
from shared.workflow.options import Options
from shared.workflow.records import IN_FLIGHT, Entry
from shared.workflow.steps import within

Body = Callable[[Call], Awaitable[Any]]


async def run_call(
    execution: Execution,
    branch: Branch,
    name: str,
    *,
    function: Callable[..., Awaitable[Any]],
    body: Body,
    verify: Body | None,
    options: Options,
    compensate: Callable[..., Awaitable[Any]] | None = None,
    operation: str = "call",
) -> Any:
    """Makes the call, or returns what an earlier run was answered. Raises StepFailed, or
    OutcomeUnknown where nobody can tell."""
    result: Any = None
    with execution.operating(branch, name):
        slot = execution.begin(branch, name, operation)
        try:
            entry = await _CallAttempts(execution, branch, slot, body, verify, options).settle()
            result = result_of(name, entry, function)
        finally:
            # What may have been done must be undone too, though nobody knows what it returned.
            last = execution.latest(branch, slot.key)
            if compensate is not None and last is not None and _may_have_effect(last, verify):
                execution.compensations.append(
                    Compensation(slot.ordinal, name, "call", compensate, result, options)
                )
    return result


def _may_have_effect(entry: Entry, verify: Body | None) -> bool:
    # Before the attempt after one that failed, a look-up has told that the latter had none.
    return entry.state in {"complete", "unknown"} | IN_FLIGHT or (
        entry.state == "retrying" and verify is None
    )


@dataclass
class _CallAttempts:
    """The attempts and look-ups of one call, from where the journal says that it stands."""

    execution: Execution
    branch: Branch
    slot: Slot
    body: Body
    verify: Body | None
    options: Options

    async def settle(self) -> Entry:
        """The finished entry."""
        recorded = self.slot.recorded
        if recorded is not None and recorded.finished:
            self.branch.advance(recorded)
            return recorded
        await self.execution.pass_boundary(self.branch, self.slot)
        started_at = wait_for_attempt(self.execution, self.branch, self.slot)
        if recorded is not None and recorded.in_flight:
            # Made by a worker that is gone, or not made at all: nobody knows.
            return await self._clear_up(recorded, recorded.age_seconds or 0.0)
        return await self._send(self.slot.attempt, started_at)

    async def _send(self, attempt: int, started_at: datetime) -> Entry:
        execution, seconds = self.execution, self._timeout.total_seconds()
        entry = self.slot.entry("calling", attempts=attempt, started_at=started_at)
        execution.gather(self.branch, entry)
        await execution.commit_attempt(self.branch, seconds)
        sent_at = execution.monotonic()
        try:
            with tracing.span(f"call {entry.name}", call=entry.name, attempt=attempt):
                result = await within(seconds, self.body(self._call(attempt)))
        except (NonRetryableError, NotSent) as error:
            execution.claim.lease.landed()
            return await self._failed(entry, error)
        except Exception as error:  # noqa: BLE001 - the outside world may raise whatever it likes
            execution.claim.lease.landed()
            if self.verify is None:
                return await self._failed(entry, error)
            noted = replace(entry, error=describe(error, self.slot.key.name))
            return await self._clear_up(noted, execution.monotonic() - sent_at)
        execution.claim.lease.landed()
        try:
            encoded = encode_result(result, self.slot.key.name)
        except NonRetryableError as error:
            # Carried out all the same.
            return await self._unknown(entry, describe(error, self.slot.key.name))
        return await self._answered(entry, encoded)

    async def _clear_up(self, entry: Entry, age_seconds: float) -> Entry:
        """Finds out what became of an attempt, and sends anew only what certainly never arrived."""
        if self.verify is None:
            return await self._again(entry)
        seconds = self._timeout.total_seconds()
        try:
            await self.execution.hold(self.branch, seconds)
            found = await within(seconds, self.verify(self._call(entry.attempts)))
            known = found is not NOT_FOUND and found is not UNKNOWN
            encoded = encode_result(found, self.slot.key.name) if known else None
        except Exception as error:  # noqa: BLE001 - looked up again later, a bounded number of times
            return await self._look_up_later(entry, error)
        finally:
            self.execution.claim.lease.landed()
        if encoded is not None:
            return await self._answered(entry, encoded)
        if found is UNKNOWN:
            return await self._unknown(entry, self._error("the look-up cannot tell"))
        lost_after = seconds + self.execution.settings.call_grace_seconds
        if age_seconds < lost_after:
            # It may still be on its way: found by nobody now, and carried out in a moment.
            raise self.branch.interrupted(Suspended(machine_seconds=lost_after - age_seconds))
        return await self._again(entry)

    async def _again(self, entry: Entry) -> Entry:
        """The next attempt, under the same key; a crash loop meets max_attempts too."""
        if entry.attempts >= self.options.retry.max_attempts:
            return await self._failed(
                entry, CallInterrupted("its worker was lost, or heard nothing, in every attempt")
            )
        return await self._send(entry.attempts + 1, entry.started_at)

    async def _look_up_later(self, entry: Entry, error: Exception) -> Entry:
        random = Random(f"{self._idempotency_key}/{entry.attempts}")
        delay = self.options.retry.delay_after(entry.attempts, error, random)
        if delay is None:
            why = f"the look-up failed: {describe(error).message}"
            return await self._unknown(entry, self._error(why))
        due_at = self.execution.clock.now() + delay
        later = replace(entry, state="verifying", attempts=entry.attempts + 1, due_at=due_at)
        self.execution.gather(self.branch, later)
        raise self.branch.interrupted(Suspended(due_at, retry=delay))

    async def _answered(self, entry: Entry, result: bytes) -> Entry:
        return await self._record(replace(entry, state="complete", result=result, error=None))

    async def _unknown(self, entry: Entry, error: ErrorInfo) -> Entry:
        return await self._record(replace(entry, state="unknown", error=error))

    async def _record(self, entry: Entry) -> Entry:
        finished = replace(entry, due_at=None, finished_at=self.execution.clock.now())
        self.execution.gather(self.branch, finished)
        await self.execution.commit_running(self.branch)
        return finished

    async def _failed(self, entry: Entry, error: Exception) -> Entry:
        failure = Failure(self.slot.key, entry.attempts, entry.started_at, error)
        # Without a look-up only the other side can say that nothing was done.
        is_certain = (
            self.verify is not None
            or isinstance(error, NonRetryableError)
            or (isinstance(error, NotSent) and entry.attempts == 1)
        )
        return await settle_failure(
            self.execution,
            self.branch,
            self.slot,
            failure,
            self.options,
            final="failed" if is_certain else "unknown",
        )

    def _error(self, why: str) -> ErrorInfo:
        return ErrorInfo(name="outcome_unknown", message=why, step=self.slot.key.name)

    @property
    def _timeout(self) -> timedelta:
        default = timedelta(seconds=self.execution.settings.call_timeout_seconds)
        return self.options.timeout or default

    def _call(self, attempt: int) -> Call:
        return Call(
            self._idempotency_key,
            attempt,
            self.branch.now,
            self._timeout,
            self.execution.instance.key.id,
        )

    @property
    def _idempotency_key(self) -> str:
        instance, key = self.execution.instance, self.slot.key
        return f"{instance.key}/{instance.run}/{key.path}/{key.name}/{key.occurrence}"
