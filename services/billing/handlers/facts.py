"""Takes what a studio's other systems report."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from services.billing.handlers.customers import set_payment_method, update_customer
from services.billing.handlers.finding import present_customer
from services.billing.models import SubscriptionStatus
from services.billing.rules.usage import WATCHED, usage_notice
from services.billing.store import SubscriptionStore, UsageStore
from services.billing.store.customer_run import CustomerRunStore
from shared.messages.billing import (
    CustomerUsage,
    MetricUsage,
    SetPaymentMethod,
    UpdateCustomer,
    UsageReported,
)
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work


async def record_usage(work: Work, fact: UsageReported) -> CustomerUsage:
    """Counts an event once; the customer's run looks at once where it crosses a limit."""
    # As the customer's run does: else two events cross a limit together and neither sees it, and a
    # run under way sets the next look without them.
    await CustomerRunStore(work.connection, fact.customer_id).lock_subscriptions()
    await present_customer(work, fact.customer_id)
    store = UsageStore(work.connection, fact.customer_id)
    at = min(fact.at or work.now, work.now)
    before = await store.usage(sorted(WATCHED), work.now)
    if not await store.add(fact.event_id, fact.metric, fact.quantity, at, work.now):
        if not await store.is_own(fact.event_id):
            raise Refused(
                "event_of_another_customer",
                f"event {fact.event_id!r} is another customer's: send each event its own id",
                status=409,
                field="eventId",
            )
        return CustomerUsage(customer_id=fact.customer_id, usage=tuple(before))
    if fact.metric == "storage_bytes":
        await store.set_gauge(fact.metric, fact.quantity, at)
    usage = await store.usage(sorted(WATCHED), work.now)
    # A day's use is closed after it; what calls for a notice is told now.
    look_at = work.now if notices(usage) - notices(before) else next_day(work.now)
    await SubscriptionStore(work.connection).look_soon(fact.customer_id, sorted(WATCHED), look_at)
    return CustomerUsage(customer_id=fact.customer_id, usage=tuple(usage))


def notices(usage: list[MetricUsage]) -> set[tuple[str, str, str]]:
    """What this use calls for, by subscription and metric."""
    called = (
        (
            str(each.subscription_id),
            each.metric,
            usage_notice(SubscriptionStatus.ACTIVE, each.metric, each.used, each.limit),
        )
        for each in usage
    )
    return {(of, metric, name) for of, metric, name in called if name is not None}


def next_day(now: datetime) -> datetime:
    """The beginning of the next day in UTC."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


USAGE: AnyHandler = Handler("usage", UsageReported, record_usage)

FACTS: tuple[AnyHandler, ...] = (
    USAGE,
    Handler("customer_changed", UpdateCustomer, update_customer),
    Handler("payment_method_changed", SetPaymentMethod, set_payment_method),
)
