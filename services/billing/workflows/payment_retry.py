"""A payment at once: asked for by hand, or after a new payment method."""

from __future__ import annotations

import msgspec

from services.billing.models import Initiator
from services.billing.renewals import follow_up, renewal_id
from services.billing.saga.state import IllegalEvent, PayNow
from services.billing.transitions import Applied, SubscriptionNotFound, happen
from shared.messages.workflows import RenewalChanged, StartPaymentRetry, StartRenewal
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
        return RetryReport(renewal=go_on(step, applied))


def go_on(step: Step, applied: Applied) -> str:
    """Has the renewal look again, under the next id where it has ended; its id."""
    next_one = follow_up(applied, step.now)
    if isinstance(next_one, StartRenewal):
        step.start(next_one)
        return next_one.id or ""
    invoice = applied.case.invoice
    under_way = renewal_id(applied.case.terms.id, invoice.period_start, invoice.reopened)
    step.signal(StartRenewal.kind, under_way, RenewalChanged())
    return under_way
