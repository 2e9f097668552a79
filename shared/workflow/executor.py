"""One delivery, from message to acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from shared.messages.workflows import ErrorInfo, Status
from shared.workflow import endings, tracing
from shared.workflow.after_commit import AfterCommit
from shared.workflow.branch import UNDO, Branch
from shared.workflow.codec import describe
from shared.workflow.commands import Command, read, read_signal
from shared.workflow.context import WorkflowContext
from shared.workflow.controls import POISONED
from shared.workflow.errors import (
    Controlled,
    Crowded,
    Dropped,
    Failure,
    Interruption,
    JournalMismatch,
    LostClaim,
    NonRetryableError,
    NotYet,
    Parked,
    ReplayEnd,
    RetryLater,
    SegmentAborted,
    StepFailed,
    Suspended,
    Transient,
    Undecodable,
)
from shared.workflow.execution import Execution
from shared.workflow.gate import Gate
from shared.workflow.inbox import Inbox
from shared.workflow.options import Options
from shared.workflow.outcomes import Outcomes
from shared.workflow.ports import Clock, Delivery, InstanceStore, Publisher, StatusBucket
from shared.workflow.records import Claim, ClaimRequest, InboxMessage, Refusal
from shared.workflow.registry import Registration, Registry
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings
from shared.workflow.undo import run_compensation

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
            try:
                await self._drive(execution, command.registration, delivery, run.alone)
            except Parked:
                pass
            except RetryLater as later:
                return await self._outcomes.retry(delivery, later)
            except NotYet:
                return await self._outcomes.early(delivery)
            except Dropped as dropped:
                await self._release(execution)
                return await self._outcomes.dropped(delivery, str(dropped))
            except JournalMismatch as mismatch:
                if execution.fused:
                    raise
                return await self._outcomes.mismatched(delivery, execution, mismatch)
            if await self._goes_on(execution):
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

        async def committed(execution: Execution) -> None:
            nonlocal revision
            revision = await self._after_commit.tell(
                instance, execution.journal.values(), execution.unpublished, revision
            )
            execution.unpublished.clear()

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

    async def _drive(
        self, execution: Execution, registration: Registration, delivery: Delivery, alone: bool
    ) -> None:
        """Obeys, replays, goes on, and commits the end; leaves by an interruption otherwise."""
        claims = execution.instance.claims_without_progress
        if claims >= self._settings.solitary_claims and not alone:
            # With the claim uncommitted: to wait for the others is not to fail once more.
            raise execution.interrupted(Crowded())
        try:
            await self._obey(execution)
            await self._check_poison(execution, delivery)
            if execution.instance.rollback == "running":
                await self._compensate(execution, registration)
            else:
                await self._advance(execution, registration)
        except Suspended as suspended:
            raise await endings.park(execution, suspended) from None
        except Controlled:
            raise await endings.give_back(execution) from None

    async def _obey(self, execution: Execution) -> None:
        """Commits the claim where it must be, with what the inbox asks for."""
        await execution.inbox.refresh()
        if execution.controlled:
            await self._refuse_restarts(execution)
            ended = await endings.obey(execution, execution.inbox.decision)
            if ended is not None:
                raise execution.interrupted(ended)
        elif execution.instance.is_paused:
            # Its door was opened by a control that has to wait.
            raise execution.interrupted(NotYet())
        elif not execution.fused:
            await execution.secure()

    async def _refuse_restarts(self, execution: Execution) -> None:
        """Takes out those from a step that cannot be."""
        while why := endings.why_not(execution, decision := execution.inbox.decision):
            seq = decision.taken[-1]
            message = execution.inbox.find(seq)
            if message is not None:
                await self._outcomes.refuse_control(execution.instance.key, message, why)
            execution.inbox.settle([seq])
            execution.root.segment.taken.append(seq)

    async def _goes_on(self, execution: Execution) -> bool:
        """Whether a control asks for more of what has just ended, such as a restart that stood
        behind a terminate, or had to wait until all was undone."""
        if not (execution.instance.status.ended and execution.inbox.may_hold):
            return False
        await execution.inbox.refresh()
        return execution.inbox.decision.action is not None

    async def _check_poison(self, execution: Execution, delivery: Delivery) -> None:
        """Ends what has taken its process down again and again, even alone (rule 23)."""
        if execution.instance.claims_without_progress >= self._settings.poison_claims:
            await self._outcomes.bury(delivery, POISONED, "no progress in too many claims")
            await endings.fail(
                execution,
                ErrorInfo(name=POISONED, message="ended after too many claims without progress"),
            )
            raise execution.interrupted(Parked())

    async def _advance(self, execution: Execution, registration: Registration) -> None:
        try:
            output = await self._call(execution, registration)
            execution.root.check_used_up()
            await endings.complete(execution, output)
        except Exception as error:
            execution.raise_if_interrupted()
            log.warning("workflow_errored", error=type(error).__name__, reason=str(error))
            if execution.compensations:
                raise await endings.roll_back(execution, Status.ERRORED, describe(error)) from error
            await endings.fail(execution, describe(error))

    async def _compensate(self, execution: Execution, registration: Registration) -> None:
        """Replays to learn what there is to undo, and undoes what began last first (rule 19)."""
        execution.replaying = True
        try:
            await self._call(execution, registration)
        except ReplayEnd:
            pass
        except Exception:  # noqa: BLE001 - the failure that brought it here
            execution.raise_if_interrupted()
        execution.replaying = False
        branch = Branch(
            execution.instance, UNDO, execution.journal.values(), execution.root.segment
        )
        failed: list[ErrorInfo] = []
        for each in sorted(execution.compensations, key=lambda each: -each.ordinal):
            try:
                await run_compensation(execution, branch, each)
            except StepFailed as failure:
                log.error("compensation_failed", step=each.name, reason=str(failure))
                failed.append(describe(failure))
        await endings.end_rollback(execution, failed)

    async def _call(self, execution: Execution, registration: Registration) -> object:
        try:
            start = msgspec.json.decode(execution.instance.input, type=registration.trigger)
        except msgspec.DecodeError as error:
            raise NonRetryableError("input_unreadable", str(error)) from error
        root = execution.root
        if start.start_at is not None:
            if start.start_at > self._clock.now() and not execution.replaying:
                raise root.interrupted(Suspended(start.start_at))
            root.now = max(root.now, start.start_at)
        context = WorkflowContext(execution, root, Options())
        try:
            return await registration.workflow.run(context, start)
        finally:
            left = root.entered is not None
            await execution.close(root)
            # Whatever the workflow made of its interruption, that is how this run ends.
            execution.raise_if_interrupted()
            root.raise_if_interrupted()
            if left and execution.fused:
                # Unfused, the same delivery keeps the steps before it.
                raise execution.interrupted(SegmentAborted())
            execution.raise_if_misused()

    async def _release(self, execution: Execution) -> None:
        try:
            await endings.release(execution, progress=not execution.cancelled)
        except (Transient, Interruption) as error:
            # The lease runs out by itself; only the speed of the next attempt is lost.
            log.info("release_failed", reason=str(error))

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
