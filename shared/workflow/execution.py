"""One claim of one instance: replays the journal into `run`, then goes on from there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

import msgspec

from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import ErrorInfo, Status
from shared.workflow.branch import Branch, Slot
from shared.workflow.codec import decode_result, encode_result
from shared.workflow.errors import (
    DeadContext,
    Dropped,
    Failure,
    Interruption,
    NonRetryableError,
    NotYet,
    Parked,
    RetryLater,
    SegmentAborted,
    StepCancelled,
    StepFailed,
    StepTimeout,
    Transient,
    WorkflowMisuse,
)
from shared.workflow.facts import facts_of
from shared.workflow.options import Options
from shared.workflow.ports import Clock, Transaction
from shared.workflow.records import Checkpoint, Entry, EntryKey, Instance, OutboxMessage
from shared.workflow.segment import Segment
from shared.workflow.step import SKIPPED, Step

I = TypeVar("I", bound=Interruption)  # noqa: E741 - an interruption


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the engine, in machine time."""

    lease_seconds: float = 30.0
    segment_seconds: float = 0.05
    """A segment older than this commits at the next step boundary and goes on unfused."""
    longest_nak_seconds: float = 30.0
    """Retries further away than this park instead of holding the delivery."""
    nak_grace_seconds: float = 5.0
    """How long after a retry by redelivery the timekeeper steps in for it."""
    poison_claims: int = 10
    """Claims without progress after which an instance ends errored."""


class Execution:
    """The engine's side of a run; the context is the author's view of it."""

    def __init__(
        self,
        *,
        instance: Instance,
        service: str,
        entries: list[Entry],
        segment: Segment,
        clock: Clock,
        settings: EngineSettings,
        fused: bool,
        failure: Failure | None,
        committed: Callable[[Execution], Awaitable[None]],
    ):
        self.instance = instance
        # What an unfinished instance was paused for is over once it is claimed.
        instance.error = None
        self.service = service
        self.journal: dict[EntryKey, Entry] = {entry.key: entry for entry in entries}
        self.unpublished: list[OutboxMessage] = []
        self.fused = fused
        self.branch = Branch(instance, "", entries)
        self._segment = segment
        self._clock = clock
        self._settings = settings
        self._failure = failure
        self._committed = committed
        self._entries: list[Entry] = []
        self._messages: list[OutboxMessage] = []
        self._secured = False
        self._interruption: Interruption | None = None
        self._cancelled = False

    # -- what the context calls -----------------------------------------------------------------

    def check_alive(self) -> None:
        """Raises DeadContext once the run has been interrupted (rule 20)."""
        if self._interruption is not None:
            raise DeadContext

    async def step(
        self,
        branch: Branch,
        name: str,
        function: Callable[..., Awaitable[Any]],
        arguments: Callable[[Step], Awaitable[Any]],
        options: Options,
    ) -> Any:
        """Runs a step once, or returns what it once returned. Raises StepFailed."""
        self.check_alive()
        with self._operating(branch, name):
            slot = await self._take(branch, name, "step")
            entry = slot.recorded
            if entry is not None and entry.finished:
                branch.advance(entry)
            else:
                entry = await self._attempt(branch, slot, arguments, options)
        if entry.state == "skipped":
            return SKIPPED
        if entry.state == "failed":
            error = entry.error or ErrorInfo(name="unknown", message="no reason was recorded")
            raise StepFailed(name, error.name, error.message)
        return decode_result(entry.result or b"null", function)

    async def sleep(
        self, branch: Branch, name: str, at: datetime | None, duration: timedelta
    ) -> None:
        """Parks the instance until an instant that is journaled at the first encounter."""
        self.check_alive()
        with self._operating(branch, name):
            slot = await self._take(branch, name, "sleep")
            entry = slot.recorded
            if entry is None:
                now = self._clock.now()
                due_at = at or branch.now + duration
                entry = _entry(slot, "sleep", "sleeping", started_at=now, due_at=due_at)
                if due_at > now:
                    self._entries.append(entry)
                    await self.park(due_at)
            if not entry.finished:
                entry = await self._wake(entry)
            branch.advance(entry)

    # -- how a run ends or pauses ---------------------------------------------------------------

    async def secure(self) -> None:
        """Commits the claim with a lease, so that what follows may take one commit a step."""
        await self._commit(Status.RUNNING, lease=True, progress=False)
        self._secured = True

    async def begin_at(self, instant: datetime) -> None:
        """Parks a run whose start is still to come; otherwise that start is its first instant."""
        if instant > self._clock.now():
            await self.park(instant)
        self.branch.now = max(self.branch.now, instant)

    async def park(self, wake_at: datetime) -> None:
        """Commits the instance as waiting. Raises Parked."""
        await self._commit(Status.WAITING, wake_at=wake_at, due_at=wake_at)
        raise self._dead(Parked(wake_at))

    async def complete(self, output: object) -> None:
        """Ends the instance with its output."""
        encoded = encode_result(output, "run()")
        self.instance.output = encoded
        await self._finish(Status.COMPLETE)

    async def fail(self, error: ErrorInfo) -> None:
        """Ends the instance errored; finished steps stay finished."""
        self.instance.error = error
        await self._finish(Status.ERRORED)

    async def pause_for_mismatch(self, error: ErrorInfo, wake_at: datetime) -> None:
        """Releases an instance that this build cannot follow, shown as paused (rule 22)."""
        await self._discard()
        self.instance.error = error
        await self._commit(Status.PAUSED, wake_at=wake_at, due_at=wake_at)

    async def release(self) -> None:
        """Gives up an unfused claim at once instead of letting its lease run out."""
        await self._discard()
        if self._secured and self.instance.status is Status.RUNNING:
            await self._commit(Status.RUNNING, lease_seconds=0.0, progress=not self._cancelled)

    async def end_straggler(self) -> None:
        """Ends an operation that `run` started and left, before it can act after the end."""
        straggler = self.branch.task
        if straggler is None:
            return
        straggler.cancel()
        await asyncio.wait([straggler])
        await self._discard()
        if self.fused:
            # Unfused, the same delivery keeps the steps before it.
            raise self._dead(SegmentAborted())
        self._interruption = None

    def raise_if_interrupted(self) -> None:
        """Keeps a workflow that caught an interruption from going on (rule 20)."""
        if self._interruption is not None:
            raise self._interruption

    # -- inside ---------------------------------------------------------------------------------

    @contextmanager
    def _operating(self, branch: Branch, name: str) -> Generator[None]:
        with branch.entering(name):
            try:
                yield
            except asyncio.CancelledError:
                # By a drain, or by a time-out in the workflow's own code: half a step must not be
                # committed with what follows.
                self._cancelled = True
                self._dead(Dropped(f"{name} was cancelled"))
                raise

    async def _take(self, branch: Branch, name: str, operation: str) -> Slot:
        try:
            slot = branch.take(name, operation)
        except Interruption as mismatch:
            raise self._dead(mismatch) from None
        if self.fused and self._entries and self._too_old():
            await self._commit(Status.RUNNING, lease=True)
            self.fused = False
            self._secured = True
        return slot

    def _too_old(self) -> bool:
        return self._segment.age_seconds > self._settings.segment_seconds

    async def _attempt(
        self,
        branch: Branch,
        slot: Slot,
        body: Callable[[Step], Awaitable[Any]],
        options: Options,
    ) -> Entry:
        recorded = slot.recorded
        attempt = recorded.attempts + 1 if recorded else 1
        if recorded and recorded.due_at and recorded.due_at > self._clock.now():
            await self._not_yet(recorded.due_at)
        first_started_at = recorded.started_at if recorded else self._clock.now()
        failure = self._carried_failure(slot)
        if failure is None:
            try:
                result, step = await self._run_body(branch, slot, body, options)
                entry = _entry(
                    slot,
                    "step",
                    "skipped" if result is SKIPPED else "complete",
                    attempts=attempt,
                    started_at=first_started_at,
                    finished_at=self._clock.now(),
                    result=None if result is SKIPPED else encode_result(result, slot.key.name),
                )
                return await self._keep(branch, entry, step)
            except Transient as error:
                raise self._dead(Dropped(str(error))) from error
            except WorkflowMisuse:
                raise
            except Exception as error:
                if self._is_transient(error):
                    raise self._dead(Dropped(str(error))) from error
                failure = Failure(slot.key, first_started_at, error)
                if self.fused:
                    raise self._dead(SegmentAborted(failure)) from error
        return await self._settle_failure(branch, slot, failure, attempt, options)

    def _is_transient(self, error: Exception) -> bool:
        transaction = self._segment.transaction
        return transaction is not None and transaction.is_transient(error)

    def _carried_failure(self, slot: Slot) -> Failure | None:
        """The attempt that aborted the fused run before this one, which must not be made twice."""
        if self._failure is None or self._failure.key != slot.key:
            return None
        failure, self._failure = self._failure, None
        return failure

    async def _run_body(
        self,
        branch: Branch,
        slot: Slot,
        body: Callable[[Step], Awaitable[Any]],
        options: Options,
    ) -> tuple[Any, Step]:
        transaction = await self._open()
        instance = self.instance
        step = Step(
            transaction.connection,
            branch.now,
            Random(f"{instance.key}/{instance.run}/{slot.key}"),
            instance.key.id,
        )
        if options.timeout is None:
            return await _uncancelled(body(step)), step
        seconds = options.timeout.total_seconds()
        if seconds > self._settings.lease_seconds:
            await transaction.allow_idle(seconds)
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                return await _uncancelled(body(step)), step
        except TimeoutError as error:
            if bound.expired():
                raise StepTimeout(f"took longer than {seconds:g} s") from error
            raise

    async def _keep(self, branch: Branch, entry: Entry, step: Step) -> Entry:
        facts = facts_of(
            self.instance, self.service, entry.key, step.events, entry.finished_at or step.now
        )
        self.instance.event_sequence += len(facts)
        self._messages.extend(facts)
        self._entries.append(entry)
        branch.advance(entry)
        if not self.fused:
            await self._commit(Status.RUNNING, lease=True)
        return entry

    async def _settle_failure(
        self, branch: Branch, slot: Slot, failure: Failure, attempt: int, options: Options
    ) -> Entry:
        """Records a failed attempt: another follows later, or the step has failed for good."""
        await self._discard()
        now = self._clock.now()
        error = describe(failure.error, slot.key.name)
        random = Random(f"{self.instance.key}/{self.instance.run}/{slot.key}/{attempt}")
        delay = options.retry.delay_after(attempt, failure.error, random)
        if delay is not None:
            wake_at = now + delay
            self._entries.append(
                _entry(
                    slot,
                    "step",
                    "retrying",
                    attempts=attempt,
                    started_at=failure.started_at,
                    due_at=wake_at,
                    error=error,
                )
            )
            await self._retry_later(wake_at, delay)
        entry = _entry(
            slot,
            "step",
            "failed",
            attempts=attempt,
            started_at=failure.started_at,
            finished_at=now,
            error=error,
        )
        self._entries.append(entry)
        branch.advance(entry)
        await self._commit(Status.RUNNING, lease=True)
        return entry

    async def _retry_later(self, wake_at: datetime, delay: timedelta) -> None:
        by_redelivery = (
            delay.total_seconds() <= self._settings.longest_nak_seconds
            and not self._clock.is_virtual
        )
        grace = timedelta(seconds=self._settings.nak_grace_seconds if by_redelivery else 0)
        await self._commit(Status.WAITING, wake_at=wake_at, due_at=wake_at + grace)
        if by_redelivery:
            raise self._dead(RetryLater(wake_at, delay.total_seconds()))
        raise self._dead(Parked(wake_at))

    async def _wake(self, sleeping: Entry) -> Entry:
        now = self._clock.now()
        if sleeping.due_at is not None and sleeping.due_at > now:
            await self._not_yet(sleeping.due_at)
        entry = msgspec.structs.replace(sleeping, state="complete", finished_at=now)
        self._entries.append(entry)
        return entry

    async def _not_yet(self, due_at: datetime) -> None:
        """An early wake changes nothing: an uncommitted claim vanishes, a committed one waits."""
        if self._secured:
            await self.park(due_at)
        raise self._dead(NotYet())

    async def _open(self) -> Transaction:
        if self._segment.transaction is not None:
            return self._segment.transaction
        transaction = await self._segment.begin()
        try:
            await transaction.lock(self.instance)
        except Interruption as lost:
            raise self._dead(lost) from None
        return transaction

    async def _finish(self, status: Status) -> None:
        self.instance.finished_at = self._clock.now()
        await self._commit(status)

    async def _commit(
        self,
        status: Status,
        *,
        wake_at: datetime | None = None,
        due_at: datetime | None = None,
        lease: bool = False,
        lease_seconds: float | None = None,
        progress: bool = True,
    ) -> None:
        """Writes and commits what has gathered, then tells the world (rule 11)."""
        now = self._clock.now()
        instance = self.instance
        checkpoint = Checkpoint(
            status=status,
            now=now,
            entries=tuple(self._entries),
            messages=tuple(self._messages),
            event_sequence=instance.event_sequence,
            wake_at=wake_at,
            due_at=due_at,
            lease_seconds=self._settings.lease_seconds if lease else lease_seconds,
            progress=progress,
            output=instance.output,
            error=instance.error,
            finished_at=instance.finished_at,
        )
        try:
            transaction = await self._open()
            committed = await transaction.write(instance, checkpoint)
            await self._segment.commit()
        except Transient as error:
            raise self._dead(Dropped(str(error))) from error
        except Interruption as lost:
            raise self._dead(lost) from None
        except WorkflowMisuse as misuse:
            await self._discard()
            if self.fused:
                # Unfused, the redelivery tells which step it was and keeps those before it.
                raise self._dead(Dropped(str(misuse))) from misuse
            raise
        instance.version = committed.version
        instance.generation = committed.generation
        instance.status = status
        instance.wake_at = wake_at
        instance.updated_at = now
        self.journal.update((entry.key, entry) for entry in self._entries)
        self.unpublished.extend(self._messages)
        self._entries.clear()
        self._messages.clear()
        try:
            await self._committed(self)
        except Exception as error:
            # Whatever it is, the commit stands and is told again; it is no failure of the run.
            raise self._dead(Dropped(f"after the commit: {error}")) from error

    async def _discard(self) -> None:
        """Rolls back to the last commit, forgetting what had gathered since."""
        await self._segment.end()
        self._entries.clear()
        self._messages.clear()

    def _dead(self, interruption: I) -> I:
        """Ends the context; the caller raises what is returned."""
        self._interruption = interruption
        return interruption


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


def describe(error: BaseException, step: str | None = None) -> ErrorInfo:
    """What a caller is told of an error."""
    if isinstance(error, StepFailed):
        return ErrorInfo(name=error.name, message=error.message, step=error.step)
    name = error.code if isinstance(error, NonRetryableError) else type(error).__name__
    return ErrorInfo(name=name, message=_bounded(str(error)), step=step)


def _bounded(text: str) -> str:
    # An error text of megabytes must not make the status document unstorable.
    longest = MAX_CONTENT_BYTES // 512
    return text if len(text) <= longest else text[:longest] + "…"


def _entry(
    slot: Slot,
    operation: str,
    state: str,
    *,
    started_at: datetime,
    attempts: int = 1,
    finished_at: datetime | None = None,
    due_at: datetime | None = None,
    result: bytes | None = None,
    error: ErrorInfo | None = None,
) -> Entry:
    return Entry(
        path=slot.key.path,
        name=slot.key.name,
        occurrence=slot.key.occurrence,
        position=slot.position,
        type=operation,
        state=state,
        attempts=attempts,
        started_at=started_at,
        finished_at=finished_at,
        due_at=due_at,
        result=result,
        error=error,
    )
