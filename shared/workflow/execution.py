"""One claim of one instance: what its operations gather and commit, and what interrupts them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from shared.messages.workflows import Signal, Status
from shared.workflow import tracing
from shared.workflow.branch import Branch, Slot
from shared.workflow.compensation import Compensation
from shared.workflow.errors import (
    Controlled,
    DeadContext,
    Dropped,
    Failure,
    Interruption,
    LostClaim,
    ReplayEnd,
    SegmentAborted,
    Stopped,
    Transient,
    WorkflowMisuse,
)
from shared.workflow.facts import facts_of, numbered
from shared.workflow.inbox import Inbox
from shared.workflow.ports import Clock, Transaction
from shared.workflow.records import (
    Checkpoint,
    Claim,
    Committed,
    Entry,
    EntryKey,
    InboxMessage,
    Notice,
    OutboxMessage,
)
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step

I = TypeVar("I", bound=Interruption)  # noqa: E741 - an interruption


class Execution:
    """The engine's side of a run; the context is the author's view of it."""

    def __init__(
        self,
        *,
        claim: Claim,
        service: str,
        entries: list[Entry],
        segment: Segment,
        slots: asyncio.Semaphore,
        inbox: Inbox,
        signals: tuple[type[Signal], ...],
        kinds: tuple[str, ...],
        clock: Clock,
        monotonic: Callable[[], float],
        settings: EngineSettings,
        fused: bool,
        failure: Failure | None,
        committed: Callable[[Execution], Awaitable[None]],
    ):
        self.instance = claim.instance
        if self.instance.rollback != "running" and not self.instance.status.ended:
            # What an unfinished instance was paused for is over once it is claimed.
            self.instance.error = None
        self.created = claim.created
        self.inbox = inbox
        self.signals = signals
        """What the workflow can wait for."""
        self.kinds = kinds
        """What the service runs, and a child can be."""
        self.clock = clock
        self.monotonic = monotonic
        self.settings = settings
        self.slots = slots
        self.journal: dict[EntryKey, Entry] = {entry.key: entry for entry in entries}
        self.unpublished: list[OutboxMessage] = []
        self.fused = fused
        self.root = Branch(self.instance, "", entries, segment)
        self.compensations: list[Compensation] = []
        self.replaying = False
        """Nothing is begun any more: the replay only tells what there is to undo (rule 19)."""
        self.secured = False
        """The claim is committed."""
        self.cancelled = False
        self._service = service
        self._failure = failure
        self._committed = committed
        self._committing = asyncio.Lock()
        self._ordinal = max((entry.ordinal for entry in entries), default=-1) + 1
        self._calls = 0
        self._hold_until = 0.0
        self._leased_until = 0.0
        self._interruption: Interruption | None = None
        self._misuse: WorkflowMisuse | None = None

    # -- what operations are made of ------------------------------------------------------------

    def check_alive(self, branch: Branch) -> None:
        """Raises DeadContext once the run, or this path of it, has been interrupted (rule 20), and
        WorkflowMisuse once it has been misused."""
        if self._interruption is not None:
            raise DeadContext
        self.raise_if_misused()
        branch.check_alive()

    @contextmanager
    def operating(self, branch: Branch, name: str) -> Generator[None]:
        """Around each operation: one at a time on a path, and none after the end."""
        self.check_alive(branch)
        if branch.entered is not None:
            misuse = WorkflowMisuse(
                f"{name!r} started while {branch.entered!r} was running on the same context: "
                "await one operation before the next"
            )
            # Inside the other's own body it is that one's failure, and journaled as such.
            raise misuse if branch.task is asyncio.current_task() else self._misused(misuse)
        with branch.entering(name):
            try:
                yield
            except asyncio.CancelledError:
                if branch.abandoned:
                    raise
                # By a drain, or by a time-out in the workflow's own code: half a step must not be
                # committed with what follows.
                # Where another path was interrupted first, this one only ends with it.
                self.cancelled = self.cancelled or self._interruption is None
                self.interrupted(Dropped(f"{name} was cancelled"))
                raise

    async def take(self, branch: Branch, name: str, operation: str) -> Slot:
        """The next place on the path; before something begins there, a boundary is passed."""
        slot = self.begin(branch, name, operation)
        recorded = slot.recorded
        if recorded is None or not (recorded.finished or operation == "parallel"):
            # A parallel under way passes none: its branches do.
            await self.pass_boundary(branch, slot)
        return slot

    def begin(self, branch: Branch, name: str, operation: str) -> Slot:
        """The next place on the path."""
        try:
            slot = branch.take(name, operation, self._ordinal)
        except Interruption as mismatch:
            raise self.interrupted(mismatch) from None
        if slot.recorded is None:
            self._ordinal += 1
        return slot

    async def pass_boundary(self, branch: Branch, slot: Slot) -> None:
        """Lets an operation go on, unless a control waits or nothing may begin any more."""
        if self.replaying:
            raise branch.interrupted(ReplayEnd())
        # A call whose outcome is not recorded is still in flight: that is no boundary.
        in_flight = slot.recorded is not None and slot.recorded.in_flight
        if branch.stopped and not in_flight:
            raise branch.interrupted(Stopped())
        segment = branch.segment
        if self.fused and segment.entries and segment.age_seconds > self.settings.segment_seconds:
            await self.secure(progress=True)
        if not in_flight:
            await self.inbox.refresh()
            if self.inbox.acts:
                raise branch.interrupted(Controlled())

    async def open(self, segment: Segment) -> Transaction:
        """The segment's transaction, begun if there is none."""
        if segment.transaction is not None:
            return segment.transaction
        if segment.shared:
            # The claim's own transaction keeps all others out, those of its branches too.
            async with self._committing:
                await self._secure_once()
        try:
            transaction = await segment.begin()
            await transaction.lock(self.instance, shared=segment.shared)
        except Interruption as lost:
            raise self.interrupted(lost) from None
        except Transient as error:
            raise self.interrupted(Dropped(str(error))) from error
        return transaction

    def is_transient(self, branch: Branch, error: Exception) -> bool:
        """Whether an error of a body is trouble of the database (rule 7)."""
        transaction = branch.segment.transaction
        return transaction is not None and transaction.is_transient(error)

    def failure_at(self, key: EntryKey) -> Failure | None:
        """The attempt that aborted the fused run before this one; it must not be made twice."""
        if self._failure is None or self._failure.key != key:
            return None
        failure, self._failure = self._failure, None
        return failure

    def latest(self, branch: Branch, key: EntryKey) -> Entry | None:
        """What is known of an operation, committed or not."""
        gathered = [entry for entry in branch.segment.entries if entry.key == key]
        return gathered[-1] if gathered else self.journal.get(key)

    def gather(
        self,
        branch: Branch,
        entry: Entry,
        *,
        step: Step | None = None,
        message: OutboxMessage | None = None,
        taken: InboxMessage | None = None,
    ) -> None:
        """Keeps an entry for the next commit, with what its step published or what it read."""
        segment = branch.segment
        if step is not None:
            at = entry.finished_at or step.now
            segment.facts += facts_of(self.instance, self._service, entry.key, step.events, at)
            segment.messages += step.messages
        if message is not None:
            segment.messages.append(message)
        if taken is not None:
            segment.taken.append(taken.seq)
        segment.entries.append(entry)
        branch.advance(entry)

    async def commit_running(self, branch: Branch) -> None:
        """Commits what has gathered on the path and keeps the instance under a lease."""
        await self.commit(branch.segment, Status.RUNNING)

    async def discard(self, branch: Branch) -> None:
        """Rolls the path back to its last commit, forgetting what had gathered since."""
        await branch.segment.end()
        branch.segment.clear()

    def interrupted(self, interruption: I) -> I:
        """Ends all paths; the caller raises what is returned."""
        self._interruption = self._interruption or interruption
        return interruption

    def raise_if_interrupted(self) -> None:
        """Keeps a workflow that caught an interruption from going on (rule 20)."""
        if self._interruption is not None:
            raise self._interruption

    def raise_if_misused(self) -> None:
        """Keeps a run that caught the error from going on: a replay, in which what is finished
        takes no time, might never meet it again."""
        if self._misuse is not None:
            raise self._misuse

    async def close(self, branch: Branch) -> None:
        """Ends the path with its code: an operation that it started and left is ended before it can
        act after the end, and what begins later is refused (rule 20)."""
        branch.abandon()
        straggler = branch.task
        if straggler is None:
            return
        self._misused(
            WorkflowMisuse(f"{branch.entered!r} was still running when its code ended: await it")
        )
        straggler.cancel()
        await asyncio.wait([straggler])
        await self.discard(branch)

    def _misused(self, misuse: WorkflowMisuse) -> WorkflowMisuse:
        self._misuse = self._misuse or misuse
        return misuse

    # -- calls in flight ------------------------------------------------------------------------

    async def commit_attempt(self, branch: Branch, timeout_seconds: float) -> None:
        """Commits a call's attempt under a lease that outlasts it (rule 18).

        Raises Dropped when the commit took so long that the call could outlast the lease.
        """
        self._hold(timeout_seconds + self.settings.call_grace_seconds)
        await self.commit_running(branch)
        if self.monotonic() + timeout_seconds > self._leased_until:
            raise self.interrupted(Dropped("the lease is too short now to send anything under it"))

    async def hold(self, branch: Branch, timeout_seconds: float) -> None:
        """Keeps the instance for a look-up that may take so long; else another worker would take it
        over each time before the answer is in."""
        self._hold(timeout_seconds + self.settings.call_grace_seconds)
        if self._leased_until < self._hold_until:
            await self.commit_running(branch)

    def _hold(self, seconds: float) -> None:
        self._calls += 1
        self._hold_until = max(self._hold_until, self.monotonic() + seconds)

    def landed(self) -> None:
        """A call is over; one that is cancelled is not, as far as anybody knows."""
        self._calls -= 1
        if self._calls == 0:
            self._hold_until = 0.0

    def in_flight(self, segment: Segment, path: str = "") -> bool:
        """Whether a call whose outcome is not known stands on a path that begins so, as the journal
        and what has gathered in `segment` tell."""
        latest = self.journal | {entry.key: entry for entry in segment.entries}
        return any(entry.in_flight and entry.path.startswith(path) for entry in latest.values())

    @property
    def controlled(self) -> bool:
        """Whether there is a control to obey now: outcomes are recorded first (rule 14)."""
        return self.inbox.acts and not self.in_flight(self.root.segment)

    @property
    def held_seconds(self) -> float:
        """Machine time for which calls in flight still need the lease."""
        return max(0.0, self._hold_until - self.monotonic())

    # -- the commit -----------------------------------------------------------------------------

    async def secure(self, *, progress: bool = False) -> None:
        """Commits the claim with a lease, so that what follows may take one commit a step."""
        await self.commit(self.root.segment, Status.RUNNING, progress=progress)

    async def commit(
        self,
        segment: Segment,
        status: Status,
        *,
        wake_at: datetime | None = None,
        due_at: datetime | None = None,
        lease_seconds: float | None = None,
        progress: bool = True,
        notices: Sequence[Notice] = (),
        keep_before: int | None = None,
        unless: Callable[[], bool] | None = None,
    ) -> None:
        """Writes and commits what has gathered, then tells the world (rule 11).

        A running instance is kept under a lease; `lease_seconds` says another one. Where something
        lies in the inbox and `unless` then says so, the instance is released instead and
        SegmentAborted raised: the delivery runs again and reads it (rule 12).
        """
        instance = self.instance
        # Before the lock: who has it must not wait for a slot of those who wait for it.
        await self.open(segment)
        async with self._committing:
            if status is Status.RUNNING and lease_seconds is None:
                # Not earlier: another branch may have begun a call meanwhile.
                lease_seconds = max(self.settings.lease_seconds, self.held_seconds)
            checkpoint = Checkpoint(
                status=status,
                now=self.clock.now(),
                entries=tuple(segment.entries),
                messages=self._messages(segment),
                event_sequence=instance.event_sequence + len(segment.facts),
                wake_at=wake_at,
                due_at=due_at,
                lease_seconds=lease_seconds,
                progress=progress,
                output=instance.output,
                error=instance.error,
                finished_at=instance.finished_at,
                taken=tuple(segment.taken),
                keep_before=keep_before,
            )
            yielded = await self._commit(segment, checkpoint, unless, notices)
        if yielded:
            raise self.interrupted(SegmentAborted())

    async def _secure_once(self) -> None:
        if not self.secured:
            segment = self.root.segment
            checkpoint = Checkpoint(
                status=Status.RUNNING,
                now=self.clock.now(),
                entries=tuple(segment.entries),
                messages=self._messages(segment),
                event_sequence=self.instance.event_sequence + len(segment.facts),
                lease_seconds=max(self.settings.lease_seconds, self.held_seconds),
                progress=False,
                error=self.instance.error,
                taken=tuple(segment.taken),
            )
            await self._commit(segment, checkpoint)

    def _messages(self, segment: Segment) -> tuple[OutboxMessage, ...]:
        return (*segment.messages, *numbered(segment.facts, self.instance.event_sequence))

    async def _commit(
        self,
        segment: Segment,
        checkpoint: Checkpoint,
        unless: Callable[[], bool] | None = None,
        notices: Sequence[Notice] = (),
    ) -> bool:
        """Whether the inbox made it release the instance instead."""
        yielded = False
        messages = checkpoint.messages
        began = self.monotonic()
        try:
            with tracing.span("commit", status=checkpoint.status.value):
                committed = await self._write(segment, checkpoint)
                self.inbox.notice(committed.unread)
                if unless is not None and committed.unread:
                    await self.inbox.refresh()
                    if unless():
                        yielded = True
                        checkpoint = self._release(checkpoint)
                        await self._write(segment, checkpoint)
                if not yielded:
                    # Of an end that is certain now.
                    await segment.tell(notices)
                await segment.commit()
        except Transient as error:
            raise self.interrupted(Dropped(str(error))) from error
        except Interruption as lost:
            raise self.interrupted(lost) from None
        except WorkflowMisuse as misuse:
            await segment.end()
            segment.clear()
            if self.fused:
                # Unfused, the redelivery tells which step it was and keeps those before it.
                raise self.interrupted(Dropped(str(misuse))) from misuse
            raise
        self._leased_until = began + (checkpoint.lease_seconds or 0.0)
        self.unpublished.extend(messages)
        self._take_over(segment, checkpoint)
        try:
            await self._committed(self)
        except Exception as error:
            # Whatever it is, the commit stands and is told again; it is no failure of the run.
            raise self.interrupted(Dropped(f"after the commit: {error}")) from error
        return yielded

    async def _write(self, segment: Segment, checkpoint: Checkpoint) -> Committed:
        instance = self.instance
        transaction = segment.transaction
        if transaction is None:
            raise LostClaim
        committed = await transaction.write(instance, checkpoint)
        instance.version = committed.version
        instance.generation = committed.generation
        return committed

    def _release(self, checkpoint: Checkpoint) -> Checkpoint:
        """Leaves the instance to the next claim; its entries are written already."""
        instance = self.instance
        instance.output = instance.finished_at = None
        if instance.rollback != "running":
            # Else it is what the compensations are for.
            instance.error = None
        return Checkpoint(
            status=Status.RUNNING,
            now=checkpoint.now,
            event_sequence=checkpoint.event_sequence,
            lease_seconds=0.0,
            error=instance.error,
        )

    def _take_over(self, segment: Segment, checkpoint: Checkpoint) -> None:
        """What is committed is what the instance is."""
        instance = self.instance
        instance.status = checkpoint.status
        instance.wake_at = checkpoint.wake_at
        instance.updated_at = checkpoint.now
        instance.event_sequence = checkpoint.event_sequence
        self.secured = True
        self.fused = False
        self.journal.update((entry.key, entry) for entry in segment.entries)
        segment.clear()
