"""A claim that a worker holds: what is committed under it, and how more is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from shared.messages.workflows import Status
from shared.workflow import tracing
from shared.workflow.errors import (
    Dropped,
    Interruption,
    LostClaim,
    SegmentAborted,
    Transient,
    WorkflowMisuse,
)
from shared.workflow.facts import numbered
from shared.workflow.inbox import Inbox
from shared.workflow.lease import Lease
from shared.workflow.life import Life
from shared.workflow.ports import Clock, Transaction
from shared.workflow.records import (
    Checkpoint,
    Committed,
    Entry,
    EntryKey,
    Instance,
    Notice,
    OutboxMessage,
)
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings


class HeldClaim:
    """One claim of one instance, from the transaction that made it to its last commit."""

    def __init__(
        self,
        instance: Instance,
        *,
        entries: Iterable[Entry],
        segment: Segment,
        inbox: Inbox,
        life: Life,
        clock: Clock,
        monotonic: Callable[[], float],
        settings: EngineSettings,
        fused: bool,
        committed: Callable[[HeldClaim], Awaitable[None]],
    ):
        self.instance = instance
        self.journal: dict[EntryKey, Entry] = {entry.key: entry for entry in entries}
        self.unpublished: list[OutboxMessage] = []
        self.segment = segment
        """That of the main path, whose transaction made the claim."""
        self.lease = Lease(monotonic, settings)
        self.fused = fused
        self.secured = False
        """The claim is committed."""
        self._inbox = inbox
        self._life = life
        self._clock = clock
        self._monotonic = monotonic
        self._committed = committed
        self._committing = asyncio.Lock()

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
            raise self._life.interrupted(lost) from None
        except Transient as error:
            raise self._life.interrupted(Dropped(str(error))) from error
        return transaction

    async def secure(self, *, progress: bool = False) -> None:
        """Commits the claim with a lease, so that what follows may take one commit a step."""
        await self.commit(self.segment, Status.RUNNING, progress=progress)

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
                lease_seconds = self.lease.next_seconds
            checkpoint = Checkpoint(
                status=status,
                now=self._clock.now(),
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
            raise self._life.interrupted(SegmentAborted())

    async def _secure_once(self) -> None:
        if not self.secured:
            segment = self.segment
            checkpoint = Checkpoint(
                status=Status.RUNNING,
                now=self._clock.now(),
                entries=tuple(segment.entries),
                messages=self._messages(segment),
                event_sequence=self.instance.event_sequence + len(segment.facts),
                lease_seconds=self.lease.next_seconds,
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
        began = self._monotonic()
        try:
            with tracing.span("commit", status=checkpoint.status.value):
                committed = await self._write(segment, checkpoint)
                self._inbox.notice(committed.unread)
                if unless is not None and committed.unread:
                    await self._inbox.refresh()
                    if unless():
                        yielded = True
                        checkpoint = self._release(checkpoint)
                        await self._write(segment, checkpoint)
                if not yielded:
                    # Of an end that is certain now.
                    await segment.tell(notices)
                await segment.commit()
        except Transient as error:
            raise self._life.interrupted(Dropped(str(error))) from error
        except Interruption as lost:
            raise self._life.interrupted(lost) from None
        except WorkflowMisuse as misuse:
            await segment.end()
            segment.clear()
            if self.fused:
                # Unfused, the redelivery tells which step it was and keeps those before it.
                raise self._life.interrupted(Dropped(str(misuse))) from misuse
            raise
        self.lease.begin(began, checkpoint.lease_seconds)
        self.unpublished.extend(messages)
        self._take_over(segment, checkpoint)
        try:
            await self._committed(self)
        except Exception as error:
            # Whatever it is, the commit stands and is told again; it is no failure of the run.
            raise self._life.interrupted(Dropped(f"after the commit: {error}")) from error
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
