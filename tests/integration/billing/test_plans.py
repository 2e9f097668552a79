"""Plans, as operators keep them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.messages.billing import (
    AllPlans,
    ByPlan,
    CreatePlan,
    Limits,
    Plan,
    Plans,
    UpdatePlan,
)
from tests.integration.billing.studio import Studio


def asked(**fields: Any) -> CreatePlan:
    given: dict[str, Any] = {"currency": "EUR", "interval": "month", **fields}
    return CreatePlan(id="pro", name="Pro", **given)


async def test_a_plan_is_created_with_its_price_in_either_form(studio: Studio) -> None:
    plan = await studio.do(Plan, "create_plan", asked(price="9.99", limits=Limits(api_calls=5)))
    assert (plan.price_minor, plan.price, plan.active) == (999, "EUR 9.99", True)
    assert plan.limits == Limits(api_calls=5, storage_bytes=None)
    dinars = CreatePlan(
        id="dinar", name="D", price_minor=12345, currency="KWD", interval="year", trial_days=14
    )
    assert (await studio.do(Plan, "create_plan", dinars)).price == "KWD 12.345"
    assert (await studio.ask(Plan, "plan", ByPlan(plan_id="pro"))) == plan
    refused = await studio.refusal("create_plan", asked(price_minor=1))
    assert (refused.code, refused.status, refused.field) == ("plan_exists", 409, "id")


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"price_minor": 0}, "amount_not_positive", "priceMinor"),
        ({"price_minor": -999}, "amount_not_positive", "priceMinor"),
        ({"price_minor": 10**16}, "amount_too_large", "priceMinor"),
        ({"price": "0.00"}, "amount_not_positive", "price"),
        ({"price": "-9.99"}, "wrong_amount", "price"),
        ({"price": "9.999"}, "wrong_amount", "price"),
        ({"price": "9.5", "currency": "JPY"}, "wrong_amount", "price"),
        ({"price": "9,99"}, "wrong_amount", "price"),
        ({"price_minor": 999, "currency": "EURO"}, "unknown_currency", "currency"),
        ({}, "one_price", "priceMinor"),
        ({"price": "9.99", "price_minor": 999}, "one_price", "priceMinor"),
    ],
)
async def test_a_price_that_cannot_be_billed_is_refused(
    studio: Studio, fields: dict[str, Any], code: str, field: str
) -> None:
    refused = await studio.refusal("create_plan", asked(**fields))
    assert (refused.code, refused.status, refused.field) == (code, 422, field)
    assert (await studio.ask(Plans, "plans", AllPlans(include_inactive=True))).plans == ()


async def test_an_update_changes_what_is_given(studio: Studio) -> None:
    await studio.plan(limits=Limits(api_calls=5, storage_bytes=6))
    renamed = UpdatePlan(plan_id="pro", name="Professional")
    assert (await studio.do(Plan, "update_plan", renamed)).limits.api_calls == 5
    unlimited = UpdatePlan(plan_id="pro", limits=Limits(api_calls=7))
    plan = await studio.do(Plan, "update_plan", unlimited)
    assert (plan.name, plan.limits) == ("Professional", Limits(api_calls=7, storage_bytes=None))


async def test_inactive_plans_are_listed_for_who_asks(studio: Studio) -> None:
    await studio.plan("big", price_minor=2000)
    await studio.plan("small", price_minor=1000)
    await studio.plan("old")
    await studio.do(Plan, "update_plan", UpdatePlan(plan_id="old", active=False))
    offered = await studio.ask(Plans, "plans", AllPlans())
    assert [plan.id for plan in offered.plans] == ["small", "big"]
    every = await studio.ask(Plans, "plans", AllPlans(include_inactive=True))
    assert [plan.id for plan in every.plans] == ["old", "small", "big"]


async def test_a_plan_that_somebody_has_is_not_deleted(studio: Studio) -> None:
    await studio.subscription()
    refused = await studio.refusal("delete_plan", ByPlan(plan_id="pro"))
    assert (refused.code, refused.status, refused.field) == ("plan_in_use", 409, "planId")
    assert (await studio.ask(Plan, "plan", ByPlan(plan_id="pro"))).id == "pro"


async def test_a_plan_that_nobody_ever_had_is_deleted(studio: Studio) -> None:
    plan = await studio.plan()
    assert await studio.do(Plan, "delete_plan", ByPlan(plan_id="pro")) == plan
    for name, message in (
        ("plan", ByPlan(plan_id="pro")),
        ("delete_plan", ByPlan(plan_id="pro")),
        ("update_plan", UpdatePlan(plan_id="pro")),
    ):
        refused = await studio.refusal(name, message)
        assert (refused.code, refused.status) == ("plan_not_found", 404)
