"""One claim of one instance: what it has gathered, what it commits, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from shared.messages.workflows import ErrorInfo, Status
from shared.workflow import tracing
from shared.workflow.branch import Branch, Slot
from shared.workflow.codec import encode_result
from shared.workflow.errors import (
    DeadContext,
    Dropped,
    Failure,
    Interruption,
    NotYet,
    Parked,
    RetryLater,
    SegmentAborted,
    Transient,
    WorkflowMisuse,
)
from shared.workflow.facts import facts_of
from shared.workflow.ports import Clock, Transaction
from shared.workflow.records import Checkpoint, Entry, EntryKey, Instance, OutboxMessage
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step

I = TypeVar("I", bound=Interruption)  # noqa: E741 - an interruption


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
        self.clock = clock
        self.settings = settings
        self.journal: dict[EntryKey, Entry] = {entry.key: entry for entry in entries}
        self.unpublished: list[OutboxMessage] = []
        self.fused = fused
        self.branch = Branch(instance, "", entries)
        self._service = service
        self._segment = segment
        self._failure = failure
        self._committed = committed
        self._entries: list[Entry] = []
        self._messages: list[OutboxMessage] = []
        self._secured = False
        self._interruption: Interruption | None = None
        self._cancelled = False

    # -- what operations are made of ------------------------------------------------------------

    def check_alive(self) -> None:
        """Raises DeadContext once the run has been interrupted (rule 20)."""
        if self._interruption is not None:
            raise DeadContext

    @contextmanager
    def operating(self, branch: Branch, name: str) -> Generator[None]:
        """Around each operation: one at a time on a path, and none after the end."""
        self.check_alive()
        with branch.entering(name):
            try:
                yield
            except asyncio.CancelledError:
                # By a drain, or by a time-out in the workflow's own code: half a step must not be
                # committed with what follows.
                self._cancelled = True
                self.interrupted(Dropped(f"{name} was cancelled"))
                raise

    async def take(self, branch: Branch, name: str, operation: str) -> Slot:
        """The next place on the path; a segment that has grown old commits before it."""
        try:
            slot = branch.take(name, operation)
        except Interruption as mismatch:
            raise self.interrupted(mismatch) from None
        if (
            self.fused
            and self._entries
            and self._segment.age_seconds > self.settings.segment_seconds
        ):
            await self._commit(Status.RUNNING, lease=True)
            self.fused = False
            self._secured = True
        return slot

    async def open(self) -> Transaction:
        """The segment's transaction, begun if there is none."""
        if self._segment.transaction is not None:
            return self._segment.transaction
        try:
            transaction = await self._segment.begin()
            await transaction.lock(self.instance)
        except Interruption as lost:
            raise self.interrupted(lost) from None
        return transaction

    def is_transient(self, error: Exception) -> bool:
        """Whether an error of a body is trouble of the database (rule 7)."""
        transaction = self._segment.transaction
        return transaction is not None and transaction.is_transient(error)

    def failure_at(self, key: EntryKey) -> Failure | None:
        """The attempt that aborted the fused run before this one; it must not be made twice."""
        if self._failure is None or self._failure.key != key:
            return None
        failure, self._failure = self._failure, None
        return failure

    def gather(self, branch: Branch, entry: Entry, step: Step | None = None) -> None:
        """Keeps an entry, and what its step published, for the next commit."""
        if step is not None:
            at = entry.finished_at or step.now
            facts = facts_of(self.instance, self._service, entry.key, step.events, at)
            self.instance.event_sequence += len(facts)
            self._messages.extend(facts)
        self._entries.append(entry)
        branch.advance(entry)

    async def commit_running(self) -> None:
        """Commits what has gathered and keeps the instance under a lease."""
        await self._commit(Status.RUNNING, lease=True)

    async def discard(self) -> None:
        """Rolls back to the last commit, forgetting what had gathered since."""
        await self._segment.end()
        self._entries.clear()
        self._messages.clear()

    def interrupted(self, interruption: I) -> I:
        """Ends the context; the caller raises what is returned."""
        self._interruption = interruption
        return interruption

    def raise_if_interrupted(self) -> None:
        """Keeps a workflow that caught an interruption from going on (rule 20)."""
        if self._interruption is not None:
            raise self._interruption

    # -- how a run ends or pauses ---------------------------------------------------------------

    async def secure(self) -> None:
        """Commits the claim with a lease, so that what follows may take one commit a step."""
        await self._commit(Status.RUNNING, lease=True, progress=False)
        self._secured = True

    async def begin_at(self, instant: datetime) -> None:
        """Parks a run whose start is still to come; otherwise that start is its first instant."""
        if instant > self.clock.now():
            await self.park(instant)
        self.branch.now = max(self.branch.now, instant)

    async def park(self, wake_at: datetime) -> None:
        """Commits the instance as waiting. Raises Parked."""
        await self._commit(Status.WAITING, wake_at=wake_at, due_at=wake_at)
        raise self.interrupted(Parked(wake_at))

    async def retry_at(self, wake_at: datetime, delay: timedelta) -> None:
        """Commits the instance as waiting for an attempt. Raises RetryLater, or Parked when the
        attempt is too far away for a redelivery or business time does not go by itself."""
        by_redelivery = (
            delay.total_seconds() <= self.settings.longest_nak_seconds and not self.clock.is_virtual
        )
        grace = timedelta(seconds=self.settings.nak_grace_seconds if by_redelivery else 0)
        await self._commit(Status.WAITING, wake_at=wake_at, due_at=wake_at + grace)
        if by_redelivery:
            raise self.interrupted(RetryLater(wake_at, delay.total_seconds()))
        raise self.interrupted(Parked(wake_at))

    async def not_yet(self, due_at: datetime) -> None:
        """An early wake changes nothing: an uncommitted claim vanishes, a committed one waits."""
        if self._secured:
            await self.park(due_at)
        raise self.interrupted(NotYet())

    async def complete(self, output: object) -> None:
        """Ends the instance with its output."""
        self.instance.output = encode_result(output, "run()")
        await self._finish(Status.COMPLETE)

    async def fail(self, error: ErrorInfo) -> None:
        """Ends the instance errored; finished steps stay finished."""
        self.instance.error = error
        await self._finish(Status.ERRORED)

    async def pause_for_mismatch(self, error: ErrorInfo, wake_at: datetime) -> None:
        """Releases an instance that this build cannot follow, shown as paused (rule 22)."""
        await self.discard()
        self.instance.error = error
        await self._commit(Status.PAUSED, wake_at=wake_at, due_at=wake_at)

    async def release(self) -> None:
        """Gives up an unfused claim at once instead of letting its lease run out."""
        await self.discard()
        if self._secured and self.instance.status is Status.RUNNING:
            await self._commit(Status.RUNNING, lease_seconds=0.0, progress=not self._cancelled)

    async def end_straggler(self) -> None:
        """Ends an operation that `run` started and left, before it can act after the end."""
        straggler = self.branch.task
        if straggler is None:
            return
        straggler.cancel()
        await asyncio.wait([straggler])
        await self.discard()
        if self.fused:
            # Unfused, the same delivery keeps the steps before it.
            raise self.interrupted(SegmentAborted())
        self._interruption = None

    async def _finish(self, status: Status) -> None:
        self.instance.finished_at = self.clock.now()
        await self._commit(status)

    # -- the commit -----------------------------------------------------------------------------

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
        instance = self.instance
        checkpoint = Checkpoint(
            status=status,
            now=self.clock.now(),
            entries=tuple(self._entries),
            messages=tuple(self._messages),
            event_sequence=instance.event_sequence,
            wake_at=wake_at,
            due_at=due_at,
            lease_seconds=self.settings.lease_seconds if lease else lease_seconds,
            progress=progress,
            output=instance.output,
            error=instance.error,
            finished_at=instance.finished_at,
        )
        try:
            await self._write(checkpoint)
        except Transient as error:
            raise self.interrupted(Dropped(str(error))) from error
        except Interruption as lost:
            raise self.interrupted(lost) from None
        except WorkflowMisuse as misuse:
            await self.discard()
            if self.fused:
                # Unfused, the redelivery tells which step it was and keeps those before it.
                raise self.interrupted(Dropped(str(misuse))) from misuse
            raise
        try:
            await self._committed(self)
        except Exception as error:
            # Whatever it is, the commit stands and is told again; it is no failure of the run.
            raise self.interrupted(Dropped(f"after the commit: {error}")) from error

    async def _write(self, checkpoint: Checkpoint) -> None:
        instance = self.instance
        with tracing.span("commit", status=checkpoint.status.value):
            transaction = await self.open()
            committed = await transaction.write(instance, checkpoint)
            await self._segment.commit()
        instance.version = committed.version
        instance.generation = committed.generation
        instance.status = checkpoint.status
        instance.wake_at = checkpoint.wake_at
        instance.updated_at = checkpoint.now
        self.journal.update((entry.key, entry) for entry in self._entries)
        self.unpublished.extend(self._messages)
        self._entries.clear()
        self._messages.clear()
