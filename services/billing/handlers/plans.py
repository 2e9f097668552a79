"""Carries out requests about plans."""

from __future__ import annotations

from services.billing.handlers.finding import no_plan
from services.billing.models import Money
from services.billing.rules.money import check_money, parse_money
from services.billing.store import PlanStore
from shared.messages.billing import ByPlan, CreatePlan, Plan, PlanEdited, UpdatePlan
from shared.messages.problems import Refused
from shared.runtime.handling import AnyHandler, Handler, Work


async def create_plan(work: Work, request: CreatePlan) -> Plan:
    """A new plan; what it costs stays as it is."""
    plan = await PlanStore(work.connection).create(request, price_of(request), work.now)
    if plan is None:
        raise Refused("plan_exists", f"there is a plan {request.id!r}", status=409, field="id")
    work.publish(PlanEdited(plan_id=plan.id))
    return plan


async def update_plan(work: Work, request: UpdatePlan) -> Plan:
    """Changes what is given; limits hold at once for all who have the plan."""
    plan = await PlanStore(work.connection).update(request)
    if plan is None:
        raise no_plan(request.plan_id)
    work.publish(PlanEdited(plan_id=plan.id))
    return plan


async def delete_plan(work: Work, request: ByPlan) -> Plan:
    """Deletes a plan that nobody ever had; the plan as it was."""
    store = PlanStore(work.connection)
    plan = await store.lock(request.plan_id)
    if plan is None:
        raise no_plan(request.plan_id)
    if await store.is_used(plan.id):
        raise Refused(
            "plan_in_use",
            f"subscriptions or invoices name plan {plan.id!r}: make it inactive instead",
            status=409,
            field="planId",
        )
    await store.delete(plan.id)
    work.publish(PlanEdited(plan_id=plan.id))
    return plan


def price_of(request: CreatePlan) -> Money:
    """The price, given in one of two ways. Raises Refused for none or both, and for one that
    cannot be billed."""
    if (request.price_minor is None) == (request.price is None):
        raise Refused(
            "one_price",
            "give either `priceMinor`, such as 999, or `price`, such as 9.99",
            field="priceMinor",
        )
    if request.price is not None:
        return parse_money(request.price, request.currency, "price")
    return check_money(request.price_minor or 0, request.currency, "priceMinor")


COMMANDS: tuple[AnyHandler, ...] = (
    Handler("create_plan", CreatePlan, create_plan),
    Handler("update_plan", UpdatePlan, update_plan),
    Handler("delete_plan", ByPlan, delete_plan),
)
