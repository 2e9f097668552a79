"""What the billing service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from services.billing import policy
from services.billing.config import BillingSettings
from services.billing.due import DueCustomers
from services.billing.handlers import FACTS, QUERIES, commands
from services.billing.handlers.persons import errands
from services.billing.notices import plan
from services.billing.payments.choosing import payment_provider
from services.billing.payments.late import Late
from services.billing.payments.pump import SandboxPump
from services.billing.payments.sandbox import SandboxProvider
from services.billing.store import INVARIANTS
from services.billing.store.directory import PostgresDirectory
from services.billing.workflows.billing_sweep import BillingSweepWorkflow
from services.billing.workflows.customer import CustomerWorkflow
from services.billing.workflows.payment_retry import PaymentRetryWorkflow
from services.billing.workflows.renewal import RenewalWorkflow
from services.billing.workflows.subscription_cleanup import SubscriptionCleanupWorkflow
from shared.messages.workflows import (
    StartBillingSweep,
    StartCustomer,
    StartPaymentRetry,
    StartRenewal,
    StartSubscriptionCleanup,
)
from shared.runtime.definition import Begin, OwnPart, ServiceDefinition
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import register


def define(settings: BillingSettings) -> ServiceDefinition:
    """The service under its settings."""
    late = Late(settings.payment_provider)
    declines = policy.declines(settings)
    renewal = RenewalWorkflow(late, late, schedule=policy.schedule(settings), declines=declines)
    sweep = Cron("billing_sweep", StartBillingSweep(), settings.billing_sweep_cron, polls=True)
    return ServiceDefinition(
        name="billing",
        workflows=[
            register(StartCustomer, CustomerWorkflow(late, late)),
            register(StartRenewal, renewal),
            register(StartPaymentRetry, PaymentRetryWorkflow()),
            register(StartSubscriptionCleanup, SubscriptionCleanupWorkflow()),
            register(StartBillingSweep, BillingSweepWorkflow()),
        ],
        commands=commands({late.name: late}, declines),
        queries=QUERIES,
        facts=FACTS,
        errands=errands(late),
        crons=[sweep],
        crons_revision=1,
        notices=plan(),
        invariants=INVARIANTS,
        begin=beginning(settings, late, sweep),
    )


def beginning(settings: BillingSettings, late: Late, sweep: Cron) -> Begin:
    """Reaches the payment provider for as long as the service runs."""

    @asynccontextmanager
    async def begin(surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        async with payment_provider(settings, surroundings.clock) as provider:
            late.give(provider, PostgresDirectory(surroundings.pool))
            pump = [SandboxPump(provider)] if isinstance(provider, SandboxProvider) else []
            yield [DueCustomers(surroundings.pool, surroundings.clock, sweep), *pump]

    return begin
