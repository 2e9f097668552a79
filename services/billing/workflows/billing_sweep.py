"""The sweep: finds who has something due, by an index, and starts a run for each."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.billing.store.sweep import SweepStore
from shared.messages.workflows import StartBillingSweep, StartCustomer
from shared.workflow.context import WorkflowContext
from shared.workflow.step import Step

BATCH = 500
"""Customers in one transaction."""


class SweepReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a sweep did."""

    customers: int


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    customers: int
    last: UUID | None


class BillingSweepWorkflow:
    """Starts one customer run for each customer with something due."""

    kind = "billing_sweep"

    async def run(self, ctx: WorkflowContext, _start: StartBillingSweep) -> SweepReport:
        """Batch after batch, each a step."""
        customers, last = 0, None
        while True:
            swept = await ctx.step("sweep", self.sweep, last)
            customers += swept.customers
            last = swept.last
            if last is None:
                return SweepReport(customers=customers)

    async def sweep(self, step: Step, after: UUID | None) -> Swept:
        """Starts the runs of the next customers; `last` is None after the last batch."""
        found = await SweepStore(step.connection).due_customers(step.now, after, BATCH)
        for customer_id in found:
            # By the sweep's own id: the same one, replayed, starts nobody twice.
            workflow_id = f"{customer_id}-{step.now:%Y%m%dT%H%M%SZ}"
            step.start(StartCustomer(id=workflow_id, customer_id=customer_id))
        return Swept(customers=len(found), last=found[-1] if len(found) == BATCH else None)
