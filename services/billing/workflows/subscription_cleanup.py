"""The cleanup, thirty days after a subscription ended."""

from __future__ import annotations

import msgspec

from services.billing.store.cleanup import CleanupStore
from shared.messages.workflows import StartSubscriptionCleanup
from shared.workflow.context import WorkflowContext
from shared.workflow.step import SKIPPED, Skipped, Step


class CleanupReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is gone."""

    usage_rows: int = 0
    notices: int = 0
    anonymised: bool = False


class SubscriptionCleanupWorkflow:
    """Forgets a customer who left; what the books need stays."""

    kind = "subscription_cleanup"

    async def run(self, ctx: WorkflowContext, start: StartSubscriptionCleanup) -> CleanupReport:
        """One step, unless the subscription is another's business by now."""
        cleaned = await ctx.step("cleanup", self.clean_up, start)
        return CleanupReport() if cleaned is SKIPPED else cleaned

    async def clean_up(
        self, step: Step, start: StartSubscriptionCleanup
    ) -> CleanupReport | Skipped:
        """Deletes use and notices and anonymises the customer, who has no other subscription."""
        store = CleanupStore(step.connection, start.subscription_id)
        ended = await store.lock(start.canceled_at)
        if ended is None:
            return SKIPPED
        await store.mark(step.now)
        if ended.has_others:
            return CleanupReport()
        report = CleanupReport(
            usage_rows=await store.delete_usage(ended.customer_id),
            notices=await store.delete_notices(ended.customer_id),
            anonymised=True,
        )
        await store.anonymise(ended.customer_id, step.now)
        return report
