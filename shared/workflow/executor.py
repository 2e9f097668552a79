"""One delivery, from message to acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from shared.workflow import tracing
from shared.workflow.after_commit import AfterCommit
from shared.workflow.commands import Command, read, read_signal
from shared.workflow.errors import (
    Crowded,
    Dropped,
    Failure,
    Interruption,
    JournalMismatch,
    LostClaim,
    NotYet,
    Parked,
    RetryLater,
    SegmentAborted,
    Transient,
    Undecodable,
)
from shared.workflow.execution import Execution
from shared.workflow.gate import Gate
from shared.workflow.held_claim import HeldClaim
from shared.workflow.inbox import Inbox
from shared.workflow.outcomes import Outcomes
from shared.workflow.ports import Clock, Delivery, InstanceStore, Publisher, StatusBucket
from shared.workflow.records import Claim, ClaimRequest, InboxMessage, Refusal
from shared.workflow.registry import Registry
from shared.workflow.replay import Replay
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings

log = structlog.get_logger()


@dataclass(kw_only=True)
class _Run:
    """How a delivery makes its next claim; it may make several."""

    command: Command = field(kw_only=False)
    fused: bool
    counted: bool
    """It counts as a claim without progress: once, however often the delivery claims (rule 23)."""
    failure: Failure | None = None
    alone: bool = False


class Executor:
    """Runs what commands ask for; how each delivery then ends is one of the Outcomes."""

    def __init__(
        self,
        *,
        service: str,
        registry: Registry,
        store: InstanceStore,
        publisher: Publisher,
        statuses: StatusBucket,
        clock: Clock,
        monotonic: Callable[[], float],
        settings: EngineSettings,
    ):
        self._service = service
        self._registry = registry
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.branch_connections)
        self._gate = Gate()
        self._after_commit = AfterCommit(store, publisher, statuses)
        self._outcomes = Outcomes(store, self._after_commit, clock, settings)

    async def deliver(self, delivery: Delivery) -> str:
        """Carries out one delivery and settles it; returns the outcome's name."""
        try:
            command = read(self._registry, delivery, self._clock.now())
        except Undecodable as error:
            return await self._guarded(
                delivery, None, self._outcomes.undecodable(delivery, str(error))
            )
        tracing.annotate(kind=command.key.kind, workflow_id=command.key.id)
        with structlog.contextvars.bound_contextvars(
            kind=command.key.kind, workflow_id=command.key.id, delivery=delivery.attempt
        ):
            return await self._guarded(delivery, command, self._carry_out(delivery, command))

    async def _carry_out(self, delivery: Delivery, command: Command) -> str:
        if command.message is not None:
            await self._keep(delivery, command, command.message)
        run = _Run(command, fused=delivery.attempt == 1, counted=delivery.attempt > 1)
        try:
            async with self._gate.beside_others():
                return await self._run_on(delivery, run)
        except Crowded:
            log.warning("workflow_runs_alone")
            run.alone = True
        try:
            async with self._gate.alone(self._settings.solitary_wait_seconds):
                return await self._run_on(delivery, run)
        except Crowded:
            return await self._outcomes.crowded(delivery, command)

    async def _run_on(self, delivery: Delivery, run: _Run) -> str:
        """Claims anew where a segment has to go on unfused, or from what was committed of it."""
        while True:
            try:
                return await self._run(delivery, run)
            except SegmentAborted as aborted:
                run.fused, run.failure = False, aborted.failure
                # What has been committed of the claim since has been counted.
                run.counted = False
            except JournalMismatch:
                # Found with the claim uncommitted; once more with it committed, to be kept.
                run.fused = False

    async def _keep(self, delivery: Delivery, command: Command, message: InboxMessage) -> None:
        """Puts a signal or control into the inbox, a signal behind those that stand before it:
        another replica may have them in hand and be slower (rule 13)."""
        earlier: list[InboxMessage] = []
        if message.category == "signal":
            for each in await delivery.before():
                try:
                    earlier.append(
                        read_signal(
                            command.registration,
                            each.headers,
                            each.body,
                            each.position,
                            message.created_at,
                        )
                    )
                except Undecodable:
                    continue  # its own delivery says so
        await self._store.keep(command.key, [*earlier, message])

    async def _run(self, delivery: Delivery, run: _Run) -> str:
        command = run.command
        segment = Segment(self._store, self._monotonic)
        try:
            claim = await self._claim(segment, run)
            if isinstance(claim, Refusal):
                await segment.end()
                return await self._outcomes.refused(delivery, command, claim)
            if not claim.created and command.is_foreign(claim.instance.parent):
                await segment.end()
                return await self._outcomes.exists(delivery, command)
            tracing.link(claim.instance.trace)
            execution = await self._execution(segment, run, claim)
            replay = Replay(execution, command.registration, self._outcomes)
            try:
                await replay.drive(delivery, alone=run.alone)
            except Parked:
                pass
            except RetryLater as later:
                return await self._outcomes.retry(delivery, later)
            except NotYet:
                return await self._outcomes.early(delivery)
            except Dropped as dropped:
                await replay.release()
                return await self._outcomes.dropped(delivery, str(dropped))
            except JournalMismatch as mismatch:
                if execution.claim.fused:
                    raise
                return await self._outcomes.mismatched(delivery, execution, mismatch)
            if await replay.goes_on():
                raise SegmentAborted
            return await self._outcomes.settled(delivery, execution)
        finally:
            await segment.end()

    async def _claim(self, segment: Segment, run: _Run) -> Claim | Refusal:
        transaction = await segment.begin()
        return await transaction.claim(
            ClaimRequest(
                key=run.command.key,
                now=self._clock.now(),
                redelivered=run.counted,
                start=run.command.start,
            )
        )

    async def _execution(self, segment: Segment, run: _Run, claim: Claim) -> Execution:
        instance = claim.instance
        entries = []
        if not claim.created and segment.transaction is not None:
            entries = await segment.transaction.journal(instance.key, instance.run)
        revision = run.command.status_revision
        if revision is None and claim.created:
            # Most likely nobody has put a status yet: believed absent, which spares a read.
            revision = 0

        async def committed(held: HeldClaim) -> None:
            nonlocal revision
            revision = await self._after_commit.tell(
                instance, held.journal.values(), held.unpublished, revision
            )
            held.unpublished.clear()

        async def unread() -> list[InboxMessage]:
            return await self._store.unread(instance.key)

        return Execution(
            claim=claim,
            service=self._service,
            entries=entries,
            segment=segment,
            slots=self._slots,
            inbox=Inbox(instance, unread, unread=claim.unread),
            signals=run.command.registration.trigger.signals,
            kinds=self._registry.kinds,
            clock=self._clock,
            monotonic=self._monotonic,
            settings=self._settings,
            fused=run.fused and not claim.taken_over,
            failure=run.failure,
            committed=committed,
        )

    async def _guarded(
        self, delivery: Delivery, command: Command | None, outcome: Awaitable[str]
    ) -> str:
        """Keeps whatever goes wrong outside a step from losing the message."""
        try:
            return await outcome
        except LostClaim:
            return await self._outcomes.lost_claim()
        except (Transient, Dropped) as error:
            return await self._outcomes.dropped(delivery, str(error))
        except (Exception, Interruption):
            # A defect of ours: the message comes again rather than being lost with the worker.
            log.exception("delivery_failed")
            if command is not None and delivery.attempt >= self._settings.poison_claims:
                return await self._outcomes.hopeless(delivery, command)
            return await self._outcomes.dropped(delivery, "unexpected error")
