"""One delivery, from message to acknowledgement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from shared.messages.workflows import ErrorInfo
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
from shared.workflow.ports import Clock, Delivery, InstanceStore, Publisher, StatusBucket
from shared.workflow.projection import document
from shared.workflow.records import Claim, ClaimRequest, DeadLetter, InstanceKey, Refusal
from shared.workflow.registry import Command, Registry
from shared.workflow.segment import Segment
from shared.workflow.settings import EngineSettings

log = structlog.get_logger()


class Executor:
    """Runs what commands ask for and settles each delivery in exactly one way."""

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
        self._publisher = publisher
        self._statuses = statuses
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings

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
            return await self._guarded(delivery, None, self.undecodable(delivery, str(error)))
        with structlog.contextvars.bound_contextvars(
            kind=command.key.kind, workflow_id=command.key.id, delivery=delivery.attempt
        ):
            return await self._guarded(delivery, command, self._carry_out(delivery, command))

    # -- outcomes of a delivery -----------------------------------------------------------------

    async def ended(self, delivery: Delivery, execution: Execution) -> str:
        """Completed or errored: all is committed, published and shown."""
        await delivery.ack()
        return execution.instance.status.value

    async def parked(self, delivery: Delivery) -> str:
        """Asleep: `due_at` brings it back."""
        await delivery.ack()
        return "parked"

    async def retry(self, delivery: Delivery, later: RetryLater) -> str:
        """A step failed: this message comes again when its next attempt is due."""
        # A little late rather than early, when it would meet an instance that is not due.
        await delivery.nak(later.delay_seconds + 0.02)
        return "retry"

    async def early(self, delivery: Delivery) -> str:
        """A wake before its time: nothing happened."""
        await delivery.ack()
        return "early"

    async def lost_claim(self) -> str:
        """Another worker owns the instance: an ack, nak or term would count for it (rule 3)."""
        log.info("claim_lost")
        return "lost_claim"

    async def dropped(self, delivery: Delivery, reason: str) -> str:
        """Trouble that is no attempt: the message comes again soon and the journal is replayed."""
        log.warning("run_dropped", reason=reason)
        await delivery.nak(min(5.0, 0.25 * 2 ** min(delivery.attempt - 1, 5)))
        return "dropped"

    async def undecodable(self, delivery: Delivery, detail: str) -> str:
        """What is no command goes to the dead letters with the reason."""
        log.warning("message_undecodable", subject=delivery.subject, detail=detail)
        await self._bury(delivery, "undecodable", detail)
        await delivery.term("undecodable")
        return "undecodable"

    async def hopeless(self, delivery: Delivery, command: Command) -> str:
        """Met errors of ours each time: a start goes to the dead letters, due_at wakes again."""
        if command.start is not None:
            await self._bury(delivery, "poisoned", "an unexpected error in too many deliveries")
        await delivery.term("poisoned")
        return "poisoned"

    async def refused(self, delivery: Delivery, command: Command, refusal: Refusal) -> str:
        """The claim was not granted."""
        if refusal.reason in {"busy", "leased"} and not self._superfluous(delivery, command):
            await delivery.nak(min(refusal.retry_seconds or 0.25, 30.0))
        elif refusal.reason in {"busy", "leased", "absent"}:
            await delivery.ack()
        else:
            # Parked, paused or ended: whoever committed that may have died right after.
            await self._finish_commit(command.key)
            await delivery.ack()
        return refusal.reason

    # -- the run --------------------------------------------------------------------------------

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
                return await self.refused(delivery, command, claim)
            execution = await self._execution(segment, command, claim, fused, failure)
            try:
                await self._drive(execution, command, delivery)
            except Parked:
                return await self.parked(delivery)
            except RetryLater as later:
                return await self.retry(delivery, later)
            except NotYet:
                return await self.early(delivery)
            except Dropped as dropped:
                await self._release(execution)
                return await self.dropped(delivery, str(dropped))
            except JournalMismatch as mismatch:
                if execution.fused:
                    raise
                return await self._mismatched(delivery, execution, mismatch)
            return await self.ended(delivery, execution)
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
            await self._publish(execution)
            revision = await self._statuses.put(
                instance.key,
                document(instance, execution.journal.values()),
                (instance.generation, instance.version),
                revision,
            )

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
            await self._bury(delivery, "poisoned", "no progress in too many claims")
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

    async def _mismatched(
        self, delivery: Delivery, execution: Execution, mismatch: JournalMismatch
    ) -> str:
        """Another build wrote the journal: paused, and looked at again later (rule 22)."""
        log.error("journal_mismatch", expected=mismatch.expected, found=mismatch.found)
        await execution.pause_for_mismatch(
            ErrorInfo(name="journal_mismatch", message=str(mismatch), step=mismatch.found),
            self._clock.now() + timedelta(seconds=self._settings.longest_nak_seconds),
        )
        await delivery.ack()
        return "mismatched"

    async def _release(self, execution: Execution) -> None:
        try:
            await execution.release()
        except (Transient, Interruption) as error:
            # The lease runs out by itself; only the speed of the next attempt is lost.
            log.info("release_failed", reason=str(error))

    # -- after the commit -----------------------------------------------------------------------

    async def _publish(self, execution: Execution) -> None:
        if not execution.unpublished:
            return
        await self._publisher.publish(execution.unpublished)
        await self._store.mark_sent([message.id for message in execution.unpublished])
        execution.unpublished.clear()

    async def _finish_commit(self, key: InstanceKey) -> None:
        """Does again what follows a commit, in its order (rule 11)."""
        loaded = await self._store.load(key)
        if loaded is None:
            return
        instance, entries = loaded
        unsent = await self._store.unsent(key)
        if unsent:
            await self._publisher.publish(unsent)
            await self._store.mark_sent([message.id for message in unsent])
        await self._statuses.put(
            key, document(instance, entries), (instance.generation, instance.version), None
        )

    async def _bury(self, delivery: Delivery, reason: str, detail: str) -> None:
        await self._store.bury(
            DeadLetter(
                origin=delivery.origin,
                subject=delivery.subject,
                headers=dict(delivery.headers),
                body=delivery.body,
                reason=reason,
                detail=detail,
                at=self._clock.now(),
            )
        )

    def _superfluous(self, delivery: Delivery, command: Command) -> bool:
        """Whether a wake has been given back so often that due_at, which brings another, will do;
        else those of one long step would gather and all come again four times a second."""
        return command.start is None and delivery.attempt >= self._settings.poison_claims

    async def _guarded(
        self, delivery: Delivery, command: Command | None, outcome: Awaitable[str]
    ) -> str:
        """Keeps whatever goes wrong outside a step from losing the message."""
        try:
            return await outcome
        except LostClaim:
            return await self.lost_claim()
        except (Transient, Dropped) as error:
            return await self.dropped(delivery, str(error))
        except Exception:
            # A defect of ours: the message comes again rather than being lost with the worker.
            log.exception("delivery_failed")
            if command is not None and delivery.attempt >= self._settings.poison_claims:
                return await self.hopeless(delivery, command)
            return await self.dropped(delivery, "unexpected error")
