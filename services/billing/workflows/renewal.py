"""The renewal saga: one period of one subscription, from its invoice to its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from services.billing.models import (
    DeclineClass,
    Payment,
)
from services.billing.payments.customers import CustomerDirectory
from services.billing.payments.provider import (
    ANSWER_SECONDS,
    PaymentProvider,
)
from services.billing.provider_events import ProviderEvents
from services.billing.renewals import cleanup_of
from services.billing.rules.declines import DECLINES
from services.billing.rules.dunning import DunningSchedule
from services.billing.saga import next_move
from services.billing.saga.answers import as_event
from services.billing.saga.changes import as_sent
from services.billing.saga.state import (
    Declined,
    Done,
    ExtensionFailed,
    GiveBack,
    Happen,
    IllegalEvent,
    LookUp,
    NotFound,
    NotSent,
    NotTold,
    Refunded,
    RefundFailed,
    SagaEvent,
    Send,
    Unknown,
    Wait,
)
from services.billing.transitions import Applied, Case, happen, lock_case
from services.billing.workflows.cashier import Answer, Cashier, Order
from services.billing.workflows.decisions import Decision, RenewalReport, decided, ordered, report
from shared.messages.notices import OPERATORS, Notice
from shared.messages.workflows import RenewalChanged, StartRenewal
from shared.postgres.notices import NoticeStore
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import OutcomeUnknown, SignalTimeout, StepFailed
from shared.workflow.options import Retry
from shared.workflow.step import Step

log = structlog.get_logger()

ONCE = Retry(max_attempts=1)
"""What becomes of an attempt is the saga's to decide, not the engine's."""

PATIENT = Retry(max_attempts=40, delay=timedelta(minutes=1), max_delay=timedelta(hours=12))
"""For a refund, which nobody waits for and which must not be lost."""

ANSWER_TIMEOUT = timedelta(seconds=ANSWER_SECONDS + 10)
"""Later than the provider's own, which says more."""


class RenewalWorkflow:
    """Charges, extends, retries, cancels and refunds, until nothing more can happen."""

    kind = "renewal"

    def __init__(
        self,
        provider: PaymentProvider,
        directory: CustomerDirectory,
        *,
        schedule: DunningSchedule | None = None,
        declines: Mapping[str, DeclineClass] = DECLINES,
    ) -> None:
        self._cashier = Cashier(provider, directory)
        self._schedule = schedule or DunningSchedule()
        self._declines = declines

    async def run(self, ctx: WorkflowContext, start: StartRenewal) -> RenewalReport:
        """What the machine says, until it has nothing more to say."""
        while True:
            decision = await ctx.step("decide", self.decide, start)
            match decision.move:
                case Send():
                    await self.charge(ctx, start, ordered(decision))
                case LookUp():
                    await self.look_up(ctx, start, ordered(decision))
                case GiveBack():
                    await self.refund(ctx, start, ordered(decision))
                case Wait(until=until):
                    await self.wait(ctx, until)
                case Done():
                    return report(decision)

    async def charge(self, ctx: WorkflowContext, start: StartRenewal, order: Order) -> None:
        """Has the provider take the money."""
        once, ask = ctx.options(retry=ONCE, timeout=ANSWER_TIMEOUT), self._cashier
        try:
            answer = await once.call("charge", ask.send, order, verify=ask.find_sent)
        except OutcomeUnknown as error:
            answer = Answer(outcome="unknown", reason=str(error))
        await self.settle(ctx, start, order, answer)

    async def look_up(self, ctx: WorkflowContext, start: StartRenewal, order: Order) -> None:
        """Asks what became of the last attempt; who is lost while asking has not been told."""
        asking = ctx.options(timeout=ANSWER_TIMEOUT)
        try:
            answer = await asking.call("look_up", self._cashier.find, order)
        except OutcomeUnknown as error:
            answer = Answer(outcome="not_told", reason=str(error))
        await self.settle(ctx, start, order, answer)

    async def settle(
        self, ctx: WorkflowContext, start: StartRenewal, order: Order, answer: Answer
    ) -> None:
        """Writes down what became of the attempt.

        Money whose period can never be given goes back before the failure ends the instance.
        """
        try:
            await ctx.step("record", self.record, start, answer)
        except StepFailed:
            if answer.payment is None or answer.payment.state != "succeeded":
                raise
            await ctx.step("refuse", self.refuse, start, answer)
            await self.refund(ctx, start, order)
            raise

    async def refund(self, ctx: WorkflowContext, start: StartRenewal, order: Order) -> None:
        """Gives the money of the last attempt back; one that fails for good ends the instance."""
        patient = ctx.options(retry=PATIENT, timeout=ANSWER_TIMEOUT)
        try:
            await patient.call("refund", self._cashier.give_back, order)
        except StepFailed:
            await ctx.step("record_refund", self.record_refund, start, False)
            raise
        await ctx.step("record_refund", self.record_refund, start, True)

    async def wait(self, ctx: WorkflowContext, until: datetime | None) -> None:
        """Parks until the instant, or until something happens to the subscription."""
        timeout = None if until is None else max(until - ctx.now, timedelta(0))
        try:
            await ctx.wait_for_signal("wait", RenewalChanged, timeout)
        except SignalTimeout:
            return

    async def decide(self, step: Step, start: StartRenewal) -> Decision:
        """The next move that needs more than this transaction; what needs no more is done here.

        An attempt that is to be sent is written down with its key.
        """
        while True:
            case = await lock_case(step.connection, start.subscription_id, start.period_start)
            if case.invoice.period_start != start.period_start:
                return decided(case, Done())
            move = next_move(case.saga, self._schedule, step.now)
            if isinstance(move, Happen):
                applied = await self._happen(step, start, move.event)
                if applied.canceled:
                    step.start(cleanup_of(start.subscription_id, step.now))
                continue
            if isinstance(move, Send):
                await self._happen(step, start, as_sent(move))
                case = await lock_case(step.connection, start.subscription_id, start.period_start)
                if await self._was_told_before(step, case):
                    continue
            return decided(case, move)

    async def record(self, step: Step, start: StartRenewal, answer: Answer) -> None:
        """Writes the outcome down, and on success the extension, the ledger and the facts with it:
        one transaction, so that no charge is kept without its period."""
        event = self._event(answer)
        try:
            await self._happen(step, start, event, answer.payment)
        except IllegalEvent as error:
            # What a webhook told before contradicts it: the books stay, and a person is told.
            notice = Notice(
                name="payment_contradiction",
                recipient=OPERATORS,
                key=f"{start.subscription_id}/{start.period_start.isoformat()}/{step.workflow_id}",
                data={"subscriptionId": str(start.subscription_id), "reason": str(error)},
            )
            await NoticeStore(step.connection).post(notice, step.now)

    async def refuse(self, step: Step, start: StartRenewal, answer: Answer) -> None:
        """Owes the money back that came for a period which can never be given."""
        await self._happen(step, start, ExtensionFailed(), answer.payment)

    async def record_refund(self, step: Step, start: StartRenewal, given_back: bool) -> None:
        """Books that the money went back, or tells an operator that it will not."""
        await self._happen(step, start, Refunded() if given_back else RefundFailed())

    def _event(self, answer: Answer) -> SagaEvent:
        match answer.outcome:
            case "told" if answer.payment is not None:
                return as_event(answer.payment, self._declines)
            case "refused":
                # The same request would be refused again: only another payment method helps.
                return Declined(kind="hard", code=answer.reason)
            case "not_sent":
                return NotSent()
            case "not_found":
                return NotFound()
            case "not_told":
                return NotTold()
            case _:
                return Unknown()

    async def _happen(
        self, step: Step, start: StartRenewal, event: SagaEvent, payment: Payment | None = None
    ) -> Applied:
        return await happen(
            step.connection,
            start.subscription_id,
            event,
            now=step.now,
            actor=f"workflow:{step.workflow_id}",
            publish=step.publish,
            period_start=start.period_start,
            provider=self._cashier.provider_name,
            payment=payment,
        )

    async def _was_told_before(self, step: Step, case: Case) -> bool:
        """Whether the provider told of the attempt before it was written down, as it does once a
        backup was restored."""
        if case.attempt is None:
            return False
        events = ProviderEvents(
            step.connection,
            self._cashier.provider_name,
            now=step.now,
            publish=step.publish,
            declines=self._declines,
        )
        return bool(await events.take_parked(case.attempt.key))
