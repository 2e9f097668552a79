"""One claim of one instance: what its operations gather and commit, and what interrupts them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from shared.messages.workflows import Signal, Status
from shared.workflow.branch import Branch, Slot
from shared.workflow.compensation import Compensation
from shared.workflow.errors import (
    Controlled,
    Dropped,
    Failure,
    Interruption,
    ReplayEnd,
    Stopped,
    WorkflowMisuse,
)
from shared.workflow.facts import facts_of
from shared.workflow.held_claim import HeldClaim
from shared.workflow.inbox import Inbox
from shared.workflow.life import Life
from shared.workflow.ports import Clock
from shared.workflow.records import (
    Claim,
    Entry,
    EntryKey,
    InboxMessage,
    OutboxMessage,
)
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings
from shared.workflow.step import Step


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
        committed: Callable[[HeldClaim], Awaitable[None]],
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
        self.life = Life()
        self.claim = HeldClaim(
            self.instance,
            entries=entries,
            segment=segment,
            inbox=inbox,
            life=self.life,
            clock=clock,
            monotonic=monotonic,
            settings=settings,
            fused=fused,
            committed=committed,
        )
        self.journal = self.claim.journal
        self.root = Branch(self.instance, "", entries, segment)
        self.compensations: list[Compensation] = []
        self.replaying = False
        """Nothing is begun any more: the replay only tells what there is to undo (rule 19)."""
        self.cancelled = False
        self._service = service
        self._failure = failure
        self._ordinal = max((entry.ordinal for entry in entries), default=-1) + 1

    # -- what operations are made of ------------------------------------------------------------

    def check_alive(self, branch: Branch) -> None:
        """Raises DeadContext once the run, or this path of it, has been interrupted (rule 20), and
        WorkflowMisuse once it has been misused."""
        self.life.check()
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
            raise misuse if branch.task is asyncio.current_task() else self.life.misused(misuse)
        with branch.entering(name):
            try:
                yield
            except asyncio.CancelledError:
                if branch.abandoned:
                    raise
                # By a drain, or by a time-out in the workflow's own code: half a step must not be
                # committed with what follows.
                # Where another path was interrupted first, this one only ends with it.
                self.cancelled = self.cancelled or not self.life.is_interrupted
                self.life.interrupted(Dropped(f"{name} was cancelled"))
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
            raise self.life.interrupted(mismatch) from None
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
        if (
            self.claim.fused
            and segment.entries
            and segment.age_seconds > self.settings.segment_seconds
        ):
            await self.claim.secure(progress=True)
        if not in_flight:
            await self.inbox.refresh()
            if self.inbox.acts:
                raise branch.interrupted(Controlled())

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
        await self.claim.commit(branch.segment, Status.RUNNING)

    async def discard(self, branch: Branch) -> None:
        """Rolls the path back to its last commit, forgetting what had gathered since."""
        await branch.segment.end()
        branch.segment.clear()

    async def close(self, branch: Branch) -> None:
        """Ends the path with its code: an operation that it started and left is ended before it can
        act after the end, and what begins later is refused (rule 20)."""
        branch.abandon()
        straggler = branch.task
        if straggler is None:
            return
        self.life.misused(
            WorkflowMisuse(f"{branch.entered!r} was still running when its code ended: await it")
        )
        straggler.cancel()
        await asyncio.wait([straggler])
        await self.discard(branch)

    # -- calls in flight ------------------------------------------------------------------------

    async def commit_attempt(self, branch: Branch, timeout_seconds: float) -> None:
        """Commits a call's attempt under a lease that outlasts it (rule 18).

        Raises Dropped when the commit took so long that the call could outlast the lease.
        """
        self.claim.lease.hold(timeout_seconds)
        await self.commit_running(branch)
        if not self.claim.lease.outlasts(timeout_seconds):
            raise self.life.interrupted(
                Dropped("the lease is too short now to send anything under it")
            )

    async def hold(self, branch: Branch, timeout_seconds: float) -> None:
        """Keeps the instance for a look-up that may take so long; else another worker would take it
        over each time before the answer is in."""
        self.claim.lease.hold(timeout_seconds)
        if not self.claim.lease.outlasts_holds:
            await self.commit_running(branch)

    def in_flight(self, segment: Segment, path: str = "") -> bool:
        """Whether a call whose outcome is not known stands on a path that begins so, as the journal
        and what has gathered in `segment` tell."""
        latest = self.journal | {entry.key: entry for entry in segment.entries}
        return any(entry.in_flight and entry.path.startswith(path) for entry in latest.values())

    @property
    def controlled(self) -> bool:
        """Whether there is a control to obey now: outcomes are recorded first (rule 14)."""
        return self.inbox.acts and not self.in_flight(self.root.segment)
