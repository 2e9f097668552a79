"""Carries out requests about subscriptions."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from msgspec.structs import asdict

from services.billing.handlers.finding import (
    locked_terms,
    no_plan,
    present_customer,
    subscription_of,
)
from services.billing.handlers.happening import happen_to
from services.billing.models import SubscriptionStatus, Terms
from services.billing.renewals import renewal_id, wake
from services.billing.rules import looking, plan_change
from services.billing.rules.periods import first_anchor, period_end
from services.billing.saga.state import Canceled
from services.billing.store import PlanStore, SagaStore, SubscriptionStore
from shared.messages.billing import (
    BySubscription,
    CancellationScheduled,
    CancellationWithdrawn,
    CancelSubscription,
    ChangePlan,
    CreateSubscription,
    Plan,
    PlanChanged,
    Subscription,
    SubscriptionStarted,
)
from shared.messages.billing.events import OfSubscription
from shared.messages.problems import Refused
from shared.messages.workflows import StartCustomer
from shared.runtime.handling import AnyHandler, Handler, Work


async def create_subscription(work: Work, request: CreateSubscription) -> Subscription:
    """A new subscription; the customer's run, which starts at once, bills it."""
    customer = await present_customer(work, request.customer_id)
    plan = await offered_plan(work, request.plan_id, customer.currency)
    trial_days = plan.trial_days if request.trial_days is None else request.trial_days
    if trial_days == 0 and customer.payment_method is None:
        raise Refused(
            "payment_method_required",
            f"customer {customer.id} has no payment method: set one first",
            status=409,
            field="customerId",
        )
    anchor_local = first_anchor(work.now + timedelta(days=trial_days), customer.timezone)
    trial_end = period_end(anchor_local, 0, plan.interval, customer.timezone)
    subscription = begun(request, trial_end if trial_days else None, work.now)
    facts = looking.Facts(
        status=SubscriptionStatus(subscription.status),
        period_end=subscription.current_period_end,
    )
    added = await SubscriptionStore(work.connection).add(
        subscription, anchor_local, looking.next_look_at(facts, work.now), work.actor
    )
    if not added:
        raise Refused(
            "subscription_exists",
            f"there is a subscription {subscription.id}",
            status=409,
            field="id",
        )
    started = SubscriptionStarted(
        subscription_id=subscription.id,
        customer_id=customer.id,
        plan_id=plan.id,
        amount_minor=plan.price_minor,
        currency=plan.currency,
        interval=plan.interval,
        status=subscription.status,
        trial_end=subscription.trial_end,
    )
    work.publish(started)
    start_run(work, subscription)
    return subscription


def begun(request: CreateSubscription, trial_end: datetime | None, now: datetime) -> Subscription:
    """The subscription as it begins: on trial, or with a period that is yet to be paid for."""
    return Subscription(
        id=request.id or uuid4(),
        customer_id=request.customer_id,
        plan_id=request.plan_id,
        status=SubscriptionStatus.TRIALING if trial_end else SubscriptionStatus.INCOMPLETE,
        current_period_start=now,
        current_period_end=trial_end or now,
        trial_end=trial_end,
        cancel_at_period_end=False,
        past_due_since=None,
        canceled_at=None,
        cancel_reason=None,
        created_at=now,
        version=1,
    )


async def change_plan(work: Work, request: ChangePlan) -> Subscription:
    """Moves it to another plan: limits at once, the price from the next invoice."""
    terms = await going_on(work, request.subscription_id)
    plan = await offered_plan(work, request.plan_id, terms.price.currency)
    if plan.id == terms.plan_id:
        return await subscription_of(work, terms.id)
    invoice = await SagaStore(work.connection, terms.id).open_invoice()
    anchor = plan_change.anchor_after(
        terms, plan.interval, None if invoice is None else invoice.period_end
    )
    subscription = await SubscriptionStore(work.connection).change_plan(
        terms.id, plan.id, anchor.local, anchor.periods, actor=work.actor, at=work.now
    )
    changed = PlanChanged(
        subscription_id=terms.id,
        customer_id=terms.customer_id,
        plan_id=plan.id,
        amount_minor=plan.price_minor,
        currency=plan.currency,
        interval=plan.interval,
        status=subscription.status,
        previous_plan_id=terms.plan_id,
        previous_amount_minor=terms.price.amount_minor,
        previous_interval=terms.interval,
    )
    work.publish(changed)
    start_run(work, subscription)
    return subscription


async def cancel_subscription(work: Work, request: CancelSubscription) -> Subscription:
    """Ends it now, or with its period; what is canceled already stays as it is."""
    terms = await locked_terms(work, request.subscription_id)
    if terms.status is SubscriptionStatus.CANCELED:
        return await subscription_of(work, terms.id)
    if not request.at_period_end:
        await happen_to(work, terms.id, Canceled(reason="requested"))
        return await subscription_of(work, terms.id)
    if terms.cancel_at_period_end:
        return await subscription_of(work, terms.id)
    return await end_with_period(work, terms, ends=True)


async def uncancel_subscription(work: Work, request: BySubscription) -> Subscription:
    """Lets it go on after its period; what was not to end stays as it is."""
    terms = await going_on(work, request.subscription_id)
    if not terms.cancel_at_period_end:
        return await subscription_of(work, terms.id)
    return await end_with_period(work, terms, ends=False)


async def end_with_period(work: Work, terms: Terms, *, ends: bool) -> Subscription:
    """Schedules the end of the subscription with its period, or withdraws that."""
    subscription = await SubscriptionStore(work.connection).end_with_period(
        terms.id, ends, actor=work.actor, at=work.now
    )
    about = OfSubscription(
        subscription_id=terms.id,
        customer_id=terms.customer_id,
        plan_id=terms.plan_id,
        amount_minor=terms.price.amount_minor,
        currency=terms.price.currency,
        interval=terms.interval,
    )
    if ends:
        work.publish(CancellationScheduled(**asdict(about), ends_at=terms.current_period_end))
    else:
        work.publish(CancellationWithdrawn(**asdict(about)))
    invoice = await SagaStore(work.connection, terms.id).open_invoice()
    if invoice is not None:
        # Its period is over already, so that the renewal under way is what ends it.
        work.send(wake(renewal_id(terms.id, invoice.period_start)))
    start_run(work, subscription)
    return subscription


async def going_on(work: Work, subscription_id: UUID) -> Terms:
    """The subscription, locked. Raises Refused `subscription_canceled` for one that ended."""
    terms = await locked_terms(work, subscription_id)
    if terms.status is SubscriptionStatus.CANCELED:
        raise Refused(
            "subscription_canceled",
            f"subscription {subscription_id} is canceled: create another one",
            status=409,
            field="subscriptionId",
        )
    return terms


async def offered_plan(work: Work, plan_id: str, currency: str) -> Plan:
    """A plan that can be subscribed to in this currency, safe from deletion until the transaction
    ends. Raises Refused `plan_not_found`, `plan_inactive` or `currency_mismatch`."""
    plan = await PlanStore(work.connection).hold(plan_id)
    if plan is None:
        raise no_plan(plan_id)
    if not plan.active:
        raise Refused(
            "plan_inactive",
            f"plan {plan_id!r} is not offered any more: choose another",
            status=409,
            field="planId",
        )
    if plan.currency != currency:
        raise Refused(
            "currency_mismatch",
            f"plan {plan_id!r} costs {plan.currency}, and the customer pays {currency}: choose a "
            f"plan in {currency}",
            field="planId",
        )
    return plan


def start_run(work: Work, subscription: Subscription) -> None:
    """Has the customer's run look at what changed."""
    work.start(
        StartCustomer(
            id=f"subscription-{subscription.id}-v{subscription.version}",
            customer_id=subscription.customer_id,
        )
    )


COMMANDS: tuple[AnyHandler, ...] = (
    Handler("create_subscription", CreateSubscription, create_subscription),
    Handler("change_plan", ChangePlan, change_plan),
    Handler("cancel_subscription", CancelSubscription, cancel_subscription),
    Handler("uncancel_subscription", BySubscription, uncancel_subscription),
)
