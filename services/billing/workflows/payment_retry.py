"""A payment at once: asked for by hand, or after a new payment method."""

from __future__ import annotations

import msgspec

from services.billing.models import Initiator
from services.billing.saga.state import IllegalEvent, PayNow
from services.billing.transitions import SubscriptionNotFound, happen
from services.billing.workflows.collecting import find_collector
from shared.messages.workflows import StartPaymentRetry
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.step import Step


class RetryReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who charges the customer now."""

    renewal: str


class PaymentRetryWorkflow:
    """Asks for an attempt and has the renewal make it: attempts are the saga's alone."""

    kind = "payment_retry"

    async def run(self, ctx: WorkflowContext, start: StartPaymentRetry) -> RetryReport:
        """One step."""
        return await ctx.step("request", self.request, start)

    async def request(self, step: Step, start: StartPaymentRetry) -> RetryReport:
        """Raises NonRetryableError where nothing is owed, or an attempt is in flight."""
        try:
            applied = await happen(
                step.connection,
                start.subscription_id,
                PayNow(by=Initiator(start.by)),
                now=step.now,
                actor=f"workflow:{step.workflow_id}",
                publish=step.publish,
            )
        except SubscriptionNotFound as error:
            raise NonRetryableError("subscription_not_found", str(error)) from error
        except IllegalEvent as error:
            raise NonRetryableError("not_payable", str(error)) from error
        case = applied.case
        collector = await find_collector(
            step,
            start.subscription_id,
            case.invoice.period_start,
            0 if case.attempt is None else case.attempt.number,
        )
        return RetryReport(renewal=collector.go_on(step))
