"""The customer's workflow: what is due for one customer, and for no other."""

from __future__ import annotations

from datetime import UTC, timedelta
from uuid import UUID

import msgspec

from services.billing.payments.customers import CustomerDirectory
from services.billing.payments.provider import ANSWER_SECONDS, PaymentProvider, RequestRefused
from services.billing.rules.looking import BILLED, Facts, next_look_at
from services.billing.store.customer_run import CustomerRunStore, Watched
from services.billing.workflows.collecting import Collector, find_collector
from services.billing.workflows.duties import Duties, is_reminded, told_days
from shared.messages.notices import OPERATORS, Notice
from shared.messages.workflows import StartCustomer
from shared.postgres.notices import NoticeStore
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.options import Retry
from shared.workflow.step import Step

LATE_USE = timedelta(days=62)
"""A day of use is closed anew when its events come no later than this."""

SYNC = Retry(max_attempts=3, delay=timedelta(seconds=5))
SYNC_TIMEOUT = timedelta(seconds=ANSWER_SECONDS + 10)


class CustomerReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run did."""

    told: tuple[str, ...]
    """Names of the notices."""
    canceled: tuple[UUID, ...]
    """Subscriptions that ended with their period."""
    renewals: tuple[str, ...]
    """Instances that collect the payments which are due."""
    synced: bool
    """Whether the provider knows all that it should; the next run tries again."""
    closed_days: int


class Processed(msgspec.Struct, frozen=True, kw_only=True):
    """What subscriptions called for."""

    told: tuple[str, ...] = ()
    canceled: tuple[UUID, ...] = ()


class CustomerWorkflow:
    """Brings one customer's subscriptions, payments and data up to date."""

    kind = "customer"

    def __init__(self, provider: PaymentProvider, directory: CustomerDirectory) -> None:
        self._provider = provider
        self._directory = directory

    async def run(self, ctx: WorkflowContext, start: StartCustomer) -> CustomerReport:
        """The reference's four steps. A customer who is not there ends it."""
        customer_id = start.customer_id
        processed = await ctx.step(
            "subscription_status", self.process_subscription_status, customer_id
        )
        renewals = await ctx.step("billing_cycle", self.process_billing_cycle, customer_id)
        synced = await self.manage_customer_data(ctx, customer_id)
        closed_days = await ctx.step(
            "usage_analytics", self.process_usage_analytics, customer_id, renewals
        )
        return CustomerReport(
            told=processed.told,
            canceled=processed.canceled,
            renewals=renewals,
            synced=synced,
            closed_days=closed_days,
        )

    async def manage_customer_data(self, ctx: WorkflowContext, customer_id: UUID) -> bool:
        """Tells the provider of changes: address, zone, payment method."""
        version = await ctx.step("customer_data", self.find_unsynced, customer_id)
        if version is None:
            return True
        try:
            reference = await ctx.options(retry=SYNC, timeout=SYNC_TIMEOUT).call(
                "sync_customer", self.sync_customer, customer_id
            )
        except StepFailed:
            # A provider that is away is no reason to call the customer's run off.
            return False
        await ctx.step("record_sync", self.record_sync, customer_id, version, reference)
        return True

    async def process_subscription_status(self, step: Step, customer_id: UUID) -> Processed:
        """What each subscription's status calls for."""
        store = CustomerRunStore(step.connection, customer_id)
        if not await store.exists():
            raise NonRetryableError(
                "customer_not_found", f"there is no customer {customer_id}: create it first"
            )
        told: list[str] = []
        canceled: list[UUID] = []
        for subscription in await store.lock_subscriptions():
            fulfilled = await Duties(step, store, customer_id, subscription).fulfil()
            told += fulfilled.told
            canceled += [subscription.id] if fulfilled.canceled else []
        return Processed(told=tuple(told), canceled=tuple(canceled))

    async def process_billing_cycle(self, step: Step, customer_id: UUID) -> tuple[str, ...]:
        """Starts the renewals that are due: one a period, by its id."""
        store = CustomerRunStore(step.connection, customer_id)
        started: list[str] = []
        for subscription in await store.lock_subscriptions():
            collector = await collector_of(step, subscription)
            if collector is None:
                continue
            # Who asked for a payment told the first renewal, which another may have followed.
            if not collector.renewals.begun or subscription.requested_by is not None:
                started.append(collector.go_on(step))
            elif collector.stopped:
                await alert(step, collector)
        return tuple(started)

    async def find_unsynced(self, step: Step, customer_id: UUID) -> int | None:
        """The version of the customer's data that the provider does not know."""
        return await CustomerRunStore(step.connection, customer_id).unsynced_version()

    async def sync_customer(self, _call: Call, customer_id: UUID) -> str:
        """Tells the provider; its id of the customer. The data are read here: no journal holds
        them. What the provider refuses is not sent again at once."""
        try:
            reference = await self._provider.save_customer(
                await self._directory.customer(customer_id)
            )
            # Who is erased meanwhile was forgotten there before this came.
            if (await self._directory.customer(customer_id)).is_erased:
                await self._provider.forget_customer(customer_id, reference)
            return reference
        except RequestRefused as error:
            raise NonRetryableError("customer_refused", str(error)) from error

    async def record_sync(
        self, step: Step, customer_id: UUID, version: int, reference: str
    ) -> None:
        """Notes what the provider knows."""
        await CustomerRunStore(step.connection, customer_id).note_synced(version, reference)

    async def process_usage_analytics(
        self, step: Step, customer_id: UUID, started: tuple[str, ...]
    ) -> int:
        """Closes the days of use that are over, and says when the customer is looked at next."""
        store = CustomerRunStore(step.connection, customer_id)
        # Before anything is read: what comes meanwhile would not be looked at.
        subscriptions = await store.lock_subscriptions()
        today = step.now.astimezone(UTC).date()
        closed = await store.close_days(today, step.now - LATE_USE, step.now)
        open_day = await store.first_open_day(today)
        unsynced = await store.unsynced_version() is not None
        for subscription in subscriptions:
            collector = await collector_of(step, subscription)
            facts = Facts(
                status=subscription.status,
                period_end=subscription.current_period_end,
                cancel_at_period_end=subscription.cancel_at_period_end,
                past_due_since=subscription.past_due_since,
                billing=collector is not None
                and (collector.renewals.begun or collector.renewals.next_id in started),
                unsynced=unsynced,
                reminded=await is_reminded(store, subscription),
                told_days=await told_days(store, subscription),
                usage_day=open_day,
            )
            await store.look_at(subscription.id, next_look_at(facts, step.now))
        return closed


async def collector_of(step: Step, subscription: Watched) -> Collector | None:
    """Who collects what the subscription owes; None where nothing is due."""
    if subscription.invoice_period_start is not None:
        period_start = subscription.invoice_period_start
    elif subscription.status in BILLED and subscription.current_period_end <= step.now:
        period_start = subscription.current_period_end
    else:
        return None
    return await find_collector(step, subscription.id, period_start, subscription.attempts)


async def alert(step: Step, collector: Collector) -> None:
    """Tells operators of a renewal that ended although its period is not paid."""
    notice = Notice(
        name="renewal_stopped",
        recipient=OPERATORS,
        key=f"{collector.subscription_id}/{collector.period_start.isoformat()}",
        data={
            "subscriptionId": str(collector.subscription_id),
            "periodStart": collector.period_start.isoformat(),
        },
    )
    await NoticeStore(step.connection).post(notice, step.now)
