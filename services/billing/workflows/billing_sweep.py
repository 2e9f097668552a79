"""The sweep: finds who has something due, by an index, and starts a run for each."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from services.billing.store.sweep import SweepStore
from shared.messages.workflows import StartBillingSweep, StartCustomer
from shared.workflow.context import WorkflowContext
from shared.workflow.step import Step

BATCH = 500
"""Subscriptions in one transaction."""

AGAIN_AFTER = timedelta(hours=1)
"""When a customer is taken again whose run failed, or still waits: each sweep would only make the
queue longer."""


class SweepReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a sweep did."""

    customers: int


class BillingSweepWorkflow:
    """Starts one customer run for each customer with something due."""

    kind = "billing_sweep"

    def __init__(self, batch: int = BATCH) -> None:
        self._batch = batch

    async def run(self, ctx: WorkflowContext, _start: StartBillingSweep) -> SweepReport:
        """Batch after batch, each a step, until nobody is left."""
        customers = 0
        while taken := await ctx.step("sweep", self.sweep):
            customers += taken
        return SweepReport(customers=customers)

    async def sweep(self, step: Step) -> int:
        """Starts the runs of the next customers; how many."""
        store = SweepStore(step.connection)
        taken = await store.take_due(step.now, step.now + AGAIN_AFTER, self._batch)
        for customer_id in taken:
            workflow_id = f"sweep-{customer_id}-{step.now:%Y%m%dT%H%M%SZ}"
            step.start(StartCustomer(id=workflow_id, customer_id=customer_id))
        return len(taken)
