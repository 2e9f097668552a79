"""One delivery, from message to acknowledgement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from shared.messages.workflows import ErrorInfo
from shared.workflow import tracing
from shared.workflow.after_commit import AfterCommit
from shared.workflow.codec import describe
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import (
    Dropped,
    Failure,
    Interruption,
    JournalMismatch,
    LostClaim,
    NonRetryableError,
    NotYet,
    Parked,
    RetryLater,
    SegmentAborted,
    Transient,
    Undecodable,
)
from shared.workflow.execution import Execution
from shared.workflow.options import Options
from shared.workflow.outcomes import Outcomes
from shared.workflow.ports import Clock, Delivery, InstanceStore, Publisher, StatusBucket
from shared.workflow.records import Claim, ClaimRequest, Refusal
from shared.workflow.registry import Command, Registry
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings

log = structlog.get_logger()


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
        self._after_commit = AfterCommit(store, publisher, statuses)
        self._outcomes = Outcomes(store, self._after_commit, clock, settings)

    async def deliver(self, delivery: Delivery) -> str:
        """Carries out one delivery and settles it; returns the outcome's name."""
        try:
            command = self._registry.command(
                delivery.subject,
                delivery.headers,
                delivery.body,
                delivery.origin,
                self._clock.now(),
            )
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
        failure: Failure | None = None
        fused = delivery.attempt == 1
        while True:
            try:
                return await self._run(delivery, command, fused, failure)
            except SegmentAborted as aborted:
                fused, failure = False, aborted.failure
            except JournalMismatch:
                # Found with the claim uncommitted; once more with it committed, to be kept.
                fused = False

    async def _run(
        self, delivery: Delivery, command: Command, fused: bool, failure: Failure | None
    ) -> str:
        segment = Segment(self._store, self._monotonic)
        try:
            claim = await self._claim(segment, delivery, command)
            if isinstance(claim, Refusal):
                await segment.end()
                return await self._outcomes.refused(delivery, command, claim)
            tracing.link(claim.instance.trace)
            execution = await self._execution(segment, command, claim, fused, failure)
            try:
                await self._drive(execution, command, delivery)
            except Parked:
                return await self._outcomes.parked(delivery)
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
            return await self._outcomes.ended(delivery, execution)
        finally:
            await segment.end()

    async def _claim(
        self, segment: Segment, delivery: Delivery, command: Command
    ) -> Claim | Refusal:
        transaction = await segment.begin()
        return await transaction.claim(
            ClaimRequest(
                key=command.key,
                now=self._clock.now(),
                redelivered=delivery.attempt > 1,
                start=command.start,
            )
        )

    async def _execution(
        self,
        segment: Segment,
        command: Command,
        claim: Claim,
        fused: bool,
        failure: Failure | None,
    ) -> Execution:
        instance = claim.instance
        entries = []
        if not claim.created and segment.transaction is not None:
            entries = await segment.transaction.journal(instance.key, instance.run)
        revision = command.status_revision
        if revision is None and claim.created:
            # Most likely nobody has put a status yet: believed absent, which spares a read.
            revision = 0

        async def committed(execution: Execution) -> None:
            nonlocal revision
            revision = await self._after_commit.tell(
                instance, execution.journal.values(), execution.unpublished, revision
            )
            execution.unpublished.clear()

        return Execution(
            instance=instance,
            service=self._service,
            entries=entries,
            segment=segment,
            clock=self._clock,
            settings=self._settings,
            fused=fused and not claim.taken_over,
            failure=failure,
            committed=committed,
        )

    async def _drive(self, execution: Execution, command: Command, delivery: Delivery) -> None:
        """Replays, goes on, and commits the end; leaves by an interruption otherwise."""
        if not execution.fused:
            await execution.secure()
        if execution.instance.claims_without_progress >= self._settings.poison_claims:
            await self._outcomes.bury(delivery, "poisoned", "no progress in too many claims")
            await execution.fail(
                ErrorInfo(name="poisoned", message="ended after too many claims without progress")
            )
            return
        try:
            output = await self._call(execution, command)
            execution.branch.check_used_up()
            await execution.complete(output)
        except Exception as error:  # noqa: BLE001 - whatever run() raises is the instance's end
            execution.raise_if_interrupted()
            await execution.end_straggler()
            log.warning("workflow_errored", error=type(error).__name__, reason=str(error))
            await execution.fail(describe(error))

    async def _call(self, execution: Execution, command: Command) -> object:
        registration = command.registration
        try:
            start = msgspec.json.decode(execution.instance.input, type=registration.trigger)
        except msgspec.DecodeError as error:
            raise NonRetryableError("input_unreadable", str(error)) from error
        if start.start_at is not None:
            await execution.begin_at(start.start_at)
        context = WorkflowContext(execution, execution.branch, Options())
        try:
            return await registration.workflow.run(context, start)
        finally:
            # Whatever the workflow made of its interruption, that is how this run ends.
            execution.raise_if_interrupted()

    async def _release(self, execution: Execution) -> None:
        try:
            await execution.release()
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
        except Exception:
            # A defect of ours: the message comes again rather than being lost with the worker.
            log.exception("delivery_failed")
            if command is not None and delivery.attempt >= self._settings.poison_claims:
                return await self._outcomes.hopeless(delivery, command)
            return await self._outcomes.dropped(delivery, "unexpected error")
