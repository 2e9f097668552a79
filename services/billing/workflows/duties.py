"""What each status of a subscription calls for."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.billing.models import SubscriptionStatus
from services.billing.renewals import cleanup_of
from services.billing.rules import past_due, usage
from services.billing.rules.money import format_money
from services.billing.rules.reminders import reminder
from services.billing.saga.state import Canceled
from services.billing.store.customer_run import CustomerRunStore, Watched
from services.billing.store.instances import InstanceStore
from services.billing.transitions import happen
from services.billing.workflows.collecting import find_collector
from shared.messages.notices import Notice
from shared.messages.workflows import StartSubscriptionCleanup
from shared.postgres.notices import NoticeStore
from shared.workflow.step import Step


class Fulfilled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a subscription's duties."""

    told: tuple[str, ...] = ()
    """Names of the notices."""
    canceled: bool = False


class Duties:
    """Those of one subscription, whose row is locked, in one step."""

    def __init__(
        self, step: Step, store: CustomerRunStore, customer_id: UUID, subscription: Watched
    ) -> None:
        self._step = step
        self._store = store
        self._customer_id = customer_id
        self._subscription = subscription

    async def fulfil(self) -> Fulfilled:
        """Each status has its branch."""
        if await self.end_with_period():
            return Fulfilled(canceled=True)
        match self._subscription.status:
            case SubscriptionStatus.ACTIVE | SubscriptionStatus.TRIALING:
                told = [*await self.remind(), *await self.check_usage_limits()]
            case SubscriptionStatus.PAST_DUE:
                told = [*await self.tell_past_due(), *await self.check_usage_limits()]
            case SubscriptionStatus.CANCELED:
                await self.check_cleanup()
                told = []
            case SubscriptionStatus.INCOMPLETE:
                # Its renewal waits for the first payment, or for the end of its time.
                told = []
        return Fulfilled(told=tuple(told))

    async def end_with_period(self) -> bool:
        """Ends it where that was asked for and its period is over, before it is billed again; in
        dunning too, whatever its renewal waits for."""
        subscription, step = self._subscription, self._step
        if subscription.status is SubscriptionStatus.CANCELED:
            return False
        if not subscription.cancel_at_period_end or step.now < subscription.current_period_end:
            return False
        applied = await happen(
            step.connection,
            subscription.id,
            Canceled(reason="period_end"),
            now=step.now,
            actor=f"workflow:{step.workflow_id}",
            publish=step.publish,
        )
        step.start(cleanup_of(subscription.id, step.now))
        if applied.case.stored:
            # What is in flight is followed to its end.
            collector = await find_collector(
                step, subscription.id, applied.case.invoice.period_start, subscription.attempts
            )
            collector.go_on(step)
        return True

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
        told = await told_days(self._store, subscription)
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
            key = usage_key(self._customer_id, used.metric, used.period_start)
            data = {"metric": used.metric, "used": used.used, "limit": used.limit}
            told += await self._tell(name, key, data)
        return told

    async def check_cleanup(self) -> None:
        """Has the cleanup scheduled that ought to be."""
        subscription = self._subscription
        if subscription.canceled_at is None or subscription.cleaned_at is not None:
            return
        cleanup = cleanup_of(subscription.id, subscription.canceled_at)
        known = await InstanceStore(self._step.connection).going_on(
            StartSubscriptionCleanup.kind, [cleanup.id or ""]
        )
        if not known:
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


def usage_key(customer_id: UUID, metric: str, period_start: datetime) -> str:
    """Of one metric and period there is each notice once."""
    return f"{customer_id}/{metric}/{period_start.isoformat()}"


async def is_reminded(store: CustomerRunStore, subscription: Watched) -> bool:
    """Whether the end of the period was told as it stands now."""
    name = "ending_notice" if subscription.cancel_at_period_end else "renewal_reminder"
    return bool(await store.told([name], [reminder_key(subscription)]))


async def told_days(store: CustomerRunStore, subscription: Watched) -> tuple[int, ...]:
    """Days of the past-due notices that were told of the open invoice."""
    if subscription.invoice_id is None:
        return ()
    names = sorted(set(past_due.NOTICES.values()))
    keys = {f"{subscription.invoice_id}/{day}": day for day in past_due.NOTICES}
    return tuple(keys[key] for key in await store.told(names, list(keys)))
