"""The customer's workflow: what is due for one customer, and for no other."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.billing.models import SubscriptionStatus
from services.billing.payments.customers import CustomerDirectory
from services.billing.payments.provider import ANSWER_SECONDS, PaymentProvider
from services.billing.renewals import cleanup_of, renewal_id
from services.billing.rules import past_due, usage
from services.billing.rules.looking import Facts, next_look_at
from services.billing.rules.money import format_money
from services.billing.rules.reminders import reminder
from services.billing.saga.state import Canceled
from services.billing.store.customer_run import CustomerRunStore, Watched
from services.billing.transitions import happen
from shared.messages.notices import Notice
from shared.messages.workflows import StartCustomer, StartRenewal, StartSubscriptionCleanup
from shared.postgres.notices import NoticeStore
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.options import Retry
from shared.workflow.step import Step

BILLED = frozenset(
    {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.INCOMPLETE}
)
"""Statuses in which the end of the period is the beginning of a renewal."""

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
        closed_days = await ctx.step("usage_analytics", self.process_usage_analytics, customer_id)
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
            work = _Work(step, store, customer_id, subscription)
            match subscription.status:
                case SubscriptionStatus.ACTIVE | SubscriptionStatus.TRIALING:
                    if await work.end_with_period():
                        canceled.append(subscription.id)
                        continue
                    told += await work.remind()
                    told += await work.check_usage_limits()
                case SubscriptionStatus.PAST_DUE:
                    told += await work.tell_past_due()
                    told += await work.check_usage_limits()
                case SubscriptionStatus.CANCELED:
                    await work.check_cleanup()
                case SubscriptionStatus.INCOMPLETE:
                    # Its renewal waits for the first payment, or for the end of its time.
                    pass
        return Processed(told=tuple(told), canceled=tuple(canceled))

    async def process_billing_cycle(self, step: Step, customer_id: UUID) -> tuple[str, ...]:
        """Starts the renewals that are due: one a period, by its id."""
        store = CustomerRunStore(step.connection, customer_id)
        started: list[str] = []
        for subscription in await store.lock_subscriptions():
            is_due = (
                subscription.status in BILLED
                and subscription.invoice_id is None
                and subscription.current_period_end <= step.now
            )
            if not is_due:
                continue
            period_start = subscription.current_period_end
            workflow_id = renewal_id(subscription.id, period_start)
            if not await store.has_instance(StartRenewal.kind, workflow_id):
                step.start(
                    StartRenewal(
                        id=workflow_id, subscription_id=subscription.id, period_start=period_start
                    )
                )
                started.append(workflow_id)
        return tuple(started)

    async def find_unsynced(self, step: Step, customer_id: UUID) -> int | None:
        """The version of the customer's data that the provider does not know."""
        return await CustomerRunStore(step.connection, customer_id).unsynced_version()

    async def sync_customer(self, _call: Call, customer_id: UUID) -> str:
        """Tells the provider; its id of the customer. The data are read here: no journal holds
        them."""
        return await self._provider.save_customer(await self._directory.customer(customer_id))

    async def record_sync(
        self, step: Step, customer_id: UUID, version: int, reference: str
    ) -> None:
        """Notes what the provider knows."""
        await CustomerRunStore(step.connection, customer_id).note_synced(version, reference)

    async def process_usage_analytics(self, step: Step, customer_id: UUID) -> int:
        """Closes the days of use that are over, and says when the customer is looked at next."""
        store = CustomerRunStore(step.connection, customer_id)
        today = step.now.astimezone(UTC).date()
        closed = await store.close_days(today, step.now - LATE_USE, step.now)
        open_day = await store.first_open_day(today)
        for subscription in await store.lock_subscriptions():
            facts = Facts(
                status=subscription.status,
                period_end=subscription.current_period_end,
                cancel_at_period_end=subscription.cancel_at_period_end,
                past_due_since=subscription.past_due_since,
                invoice_open=subscription.invoice_id is not None,
                reminded=await _is_reminded(store, subscription),
                told_days=await _told_days(store, subscription),
                usage_day=open_day,
            )
            await store.look_at(subscription.id, next_look_at(facts, step.now))
        return closed


class _Work:
    """One subscription in one step."""

    def __init__(
        self, step: Step, store: CustomerRunStore, customer_id: UUID, subscription: Watched
    ) -> None:
        self._step = step
        self._store = store
        self._customer_id = customer_id
        self._subscription = subscription

    async def end_with_period(self) -> bool:
        """Ends it where that was asked for and the period is over: before it is billed again. While
        an invoice is open, its renewal does so."""
        subscription, step = self._subscription, self._step
        is_over = subscription.current_period_end <= step.now
        if not (subscription.cancel_at_period_end and is_over and subscription.invoice_id is None):
            return False
        applied = await happen(
            step.connection,
            subscription.id,
            Canceled(reason="period_end"),
            now=step.now,
            actor=f"workflow:{step.workflow_id}",
            publish=step.publish,
        )
        if applied.canceled:
            step.start(cleanup_of(subscription.id, step.now))
        return applied.canceled

    async def remind(self) -> list[str]:
        """That the period ends within a week, once."""
        subscription = self._subscription
        due = reminder(
            subscription.status,
            subscription.current_period_end,
            subscription.cancel_at_period_end,
            self._step.now,
        )
        if due is None:
            return []
        data = {"days": due.days, "periodEnd": subscription.current_period_end.isoformat()}
        return await self._tell(due.name, reminder_key(subscription), data)

    async def tell_past_due(self) -> list[str]:
        """The latest notice that a missing payment calls for, once a step."""
        subscription = self._subscription
        if subscription.past_due_since is None or subscription.owed is None:
            return []
        told = await _told_days(self._store, subscription)
        due = past_due.due_day(subscription.past_due_since, self._step.now, told)
        if due is None:
            return []
        data = {
            "invoiceId": str(subscription.invoice_id),
            "amount": format_money(subscription.owed),
            "actionUrl": None,
            "daysPastDue": (self._step.now - subscription.past_due_since).days,
        }
        return await self._tell(past_due.NOTICES[due], f"{subscription.invoice_id}/{due}", data)

    async def check_usage_limits(self) -> list[str]:
        """That use comes near a limit of the plan, or has reached it: each once a period."""
        told: list[str] = []
        status = self._subscription.status
        for used in await self._store.usage(self._subscription.id, self._step.now):
            name = usage.usage_notice(status, used.metric, used.used, used.limit)
            if name is None:
                continue
            key = f"{self._customer_id}/{used.metric}/{used.period_start.isoformat()}"
            data = {"metric": used.metric, "used": used.used, "limit": used.limit}
            told += await self._tell(name, key, data)
        return told

    async def check_cleanup(self) -> None:
        """Has the cleanup scheduled that ought to be."""
        subscription = self._subscription
        if subscription.canceled_at is None:
            return
        cleanup = cleanup_of(subscription.id, subscription.canceled_at)
        kind = StartSubscriptionCleanup.kind
        if not await self._store.has_instance(kind, cleanup.id or ""):
            self._step.start(cleanup)

    async def _tell(self, name: str, key: str, data: dict[str, Any]) -> list[str]:
        notice = Notice(
            name=name,
            recipient=str(self._customer_id),
            key=key,
            data={"subscriptionId": str(self._subscription.id), **data},
        )
        is_new = await NoticeStore(self._step.connection).post(notice, self._step.now)
        return [name] if is_new else []


def reminder_key(subscription: Watched) -> str:
    """Of one period's end there is one reminder."""
    return f"{subscription.id}/{subscription.current_period_end.isoformat()}"


async def _is_reminded(store: CustomerRunStore, subscription: Watched) -> bool:
    name = "ending_notice" if subscription.cancel_at_period_end else "renewal_reminder"
    return bool(await store.told([name], [reminder_key(subscription)]))


async def _told_days(store: CustomerRunStore, subscription: Watched) -> tuple[int, ...]:
    if subscription.invoice_id is None:
        return ()
    names = sorted(set(past_due.NOTICES.values()))
    keys = {f"{subscription.invoice_id}/{step}": step for step in past_due.NOTICES}
    return tuple(keys[key] for key in await store.told(names, list(keys)))
