"""One claim's way from the journal to the commit that ends it."""

from __future__ import annotations

import msgspec
import structlog

from shared.messages.workflows import ErrorInfo, Status
from shared.workflow import endings
from shared.workflow.branch import UNDO, Branch
from shared.workflow.codec import describe
from shared.workflow.context import WorkflowContext
from shared.workflow.controls import POISONED
from shared.workflow.errors import (
    Controlled,
    Crowded,
    Interruption,
    NonRetryableError,
    NotYet,
    Parked,
    ReplayEnd,
    SegmentAborted,
    StepFailed,
    Suspended,
    Transient,
)
from shared.workflow.execution import Execution
from shared.workflow.options import Options
from shared.workflow.outcomes import Outcomes
from shared.workflow.ports import Delivery
from shared.workflow.registry import Registration
from shared.workflow.undo import run_compensation

log = structlog.get_logger()


class Replay:
    """Obeys the inbox, replays what is done, and goes on from there."""

    def __init__(self, execution: Execution, registration: Registration, outcomes: Outcomes):
        self._execution = execution
        self._registration = registration
        self._outcomes = outcomes

    async def drive(self, delivery: Delivery, *, alone: bool) -> None:
        """Commits the end of the instance; leaves by an interruption otherwise."""
        execution = self._execution
        claims = execution.instance.claims_without_progress
        if claims >= execution.settings.solitary_claims and not alone:
            # With the claim uncommitted: to wait for the others is not to fail once more.
            raise execution.life.interrupted(Crowded())
        try:
            await self._obey()
            await self._check_poison(delivery)
            if execution.instance.rollback == "running":
                await self._compensate()
            else:
                await self._advance()
        except Suspended as suspended:
            raise await endings.park(execution, suspended) from None
        except Controlled:
            raise await endings.give_back(execution) from None

    async def goes_on(self) -> bool:
        """Whether a control asks for more of what has just ended, such as a restart that stood
        behind a terminate, or had to wait until all was undone."""
        execution = self._execution
        if not (execution.instance.status.ended and execution.inbox.may_hold):
            return False
        await execution.inbox.refresh()
        return execution.inbox.decision.action is not None

    async def release(self) -> None:
        """Lets the instance go, so that the next delivery need not wait for the lease to end."""
        try:
            await endings.release(self._execution, progress=not self._execution.cancelled)
        except (Transient, Interruption) as error:
            # The lease runs out by itself; only the speed of the next attempt is lost.
            log.info("release_failed", reason=str(error))

    async def _obey(self) -> None:
        """Commits the claim where it must be, with what the inbox asks for."""
        execution = self._execution
        await execution.inbox.refresh()
        if execution.controlled:
            await self._refuse_restarts()
            ended = await endings.obey(execution, execution.inbox.decision)
            if ended is not None:
                raise execution.life.interrupted(ended)
        elif execution.instance.is_paused:
            # Its door was opened by a control that has to wait.
            raise execution.life.interrupted(NotYet())
        elif not execution.claim.fused:
            await execution.claim.secure()

    async def _refuse_restarts(self) -> None:
        """Takes out those from a step that cannot be."""
        execution = self._execution
        while why := endings.why_not(execution, decision := execution.inbox.decision):
            seq = decision.taken[-1]
            message = execution.inbox.find(seq)
            if message is not None:
                await self._outcomes.refuse_control(execution.instance.key, message, why)
            execution.inbox.settle([seq])
            execution.root.segment.taken.append(seq)

    async def _check_poison(self, delivery: Delivery) -> None:
        """Ends what has taken its process down again and again, even alone (rule 23)."""
        execution = self._execution
        if execution.instance.claims_without_progress >= execution.settings.poison_claims:
            await self._outcomes.bury(delivery, POISONED, "no progress in too many claims")
            await endings.fail(
                execution,
                ErrorInfo(name=POISONED, message="ended after too many claims without progress"),
            )
            raise execution.life.interrupted(Parked())

    async def _advance(self) -> None:
        execution = self._execution
        try:
            output = await self._call()
            execution.root.check_used_up()
            await endings.complete(execution, output)
        except Exception as error:
            execution.life.raise_if_interrupted()
            log.warning("workflow_errored", error=type(error).__name__, reason=str(error))
            if execution.compensations:
                raise await endings.roll_back(execution, Status.ERRORED, describe(error)) from error
            await endings.fail(execution, describe(error))

    async def _compensate(self) -> None:
        """Replays to learn what there is to undo, and undoes what began last first (rule 19)."""
        execution = self._execution
        execution.replaying = True
        try:
            await self._call()
        except ReplayEnd:
            pass
        except Exception:  # noqa: BLE001 - the failure that brought it here
            execution.life.raise_if_interrupted()
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

    async def _call(self) -> object:
        execution = self._execution
        registration = self._registration
        try:
            start = msgspec.json.decode(execution.instance.input, type=registration.trigger)
        except msgspec.DecodeError as error:
            raise NonRetryableError("input_unreadable", str(error)) from error
        root = execution.root
        if start.start_at is not None:
            if start.start_at > execution.clock.now() and not execution.replaying:
                raise root.interrupted(Suspended(start.start_at))
            root.now = max(root.now, start.start_at)
        context = WorkflowContext(execution, root, Options())
        try:
            return await registration.workflow.run(context, start)
        finally:
            left = root.entered is not None
            await execution.close(root)
            # Whatever the workflow made of its interruption, that is how this run ends.
            execution.life.raise_if_interrupted()
            root.raise_if_interrupted()
            if left and execution.claim.fused:
                # Unfused, the same delivery keeps the steps before it.
                raise execution.life.interrupted(SegmentAborted())
            execution.life.raise_if_misused()
