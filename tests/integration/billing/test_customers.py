"""Customers, as a studio makes and changes them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.billing.models import Initiator
from services.billing.saga.state import Declined, Opened, Sent
from shared.messages.base import Message
from shared.messages.billing import (
    ByCustomer,
    CreateCustomer,
    Customer,
    CustomerCreated,
    PageOfCustomer,
    PaymentMethodChanged,
    SetPaymentMethod,
    UpdateCustomer,
)
from shared.messages.workflows import StartCustomer
from tests.integration.billing.studio import Studio


async def test_a_customer_is_created_told_of_and_made_known_to_the_provider(studio: Studio) -> None:
    request = CreateCustomer(
        external_id="account-7", email="a@example.org", timezone="Asia/Tokyo", currency="JPY"
    )
    customer = await studio.do(Customer, "create_customer", request)
    assert customer == Customer(
        id=customer.id,
        external_id="account-7",
        email="a@example.org",
        timezone="Asia/Tokyo",
        currency="JPY",
        payment_method=None,
        created_at=studio.now,
        anonymised_at=None,
        version=1,
    )
    assert await studio.ask(Customer, "customer", ByCustomer(customer_id=customer.id)) == customer
    assert studio.events == [
        CustomerCreated(customer_id=customer.id, currency="JPY", timezone="Asia/Tokyo")
    ]
    run_id = f"customer-{customer.id}-v1"
    assert studio.triggers == [StartCustomer(id=run_id, customer_id=customer.id)]


@pytest.mark.parametrize(("second", "field"), [("same", "id"), ("other", "externalId")])
async def test_a_customer_is_created_once(studio: Studio, second: str, field: str) -> None:
    request = CreateCustomer(id=uuid4(), external_id="account-7", currency="EUR")
    await studio.do(Customer, "create_customer", request)
    repeated = request if second == "same" else msgspec.structs.replace(request, id=uuid4())
    refused = await studio.refusal("create_customer", repeated)
    assert (refused.code, refused.status, refused.field) == ("customer_exists", 409, field)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"currency": "EURO"}, "unknown_currency", "currency"),
        ({"currency": "XAU"}, "unknown_currency", "currency"),
        ({"currency": "eur"}, "unknown_currency", "currency"),
        ({"currency": "EUR", "timezone": "Mars/Olympus"}, "unknown_timezone", "timezone"),
    ],
)
async def test_what_nobody_can_be_billed_by_is_refused(
    studio: Studio, fields: dict[str, Any], code: str, field: str
) -> None:
    refused = await studio.refusal("create_customer", CreateCustomer(**fields))
    assert (refused.code, refused.field) == (code, field)
    assert await studio.pool.fetchval("SELECT count(*) FROM customers") == 0


async def test_an_update_changes_what_is_given_and_counts_what_is_new(studio: Studio) -> None:
    customer_id = await studio.customer()
    request = UpdateCustomer(customer_id=customer_id, email="b@example.org", timezone="Asia/Tokyo")
    assert (await studio.do(Customer, "update_customer", request)).version == 2
    assert (await studio.do(Customer, "customer_changed", request)).version == 2
    erased = UpdateCustomer(customer_id=customer_id, email=None)
    customer = await studio.do(Customer, "update_customer", erased)
    assert (customer.email, customer.timezone, customer.version) == (None, "Asia/Tokyo", 3)
    wrong = UpdateCustomer(customer_id=customer_id, timezone="../UTC")
    assert (await studio.refusal("update_customer", wrong)).field == "timezone"


async def test_a_new_payment_method_has_what_was_declined_charged_at_once(studio: Studio) -> None:
    subscription = await studio.subscription()
    await studio.happen(
        subscription.id, Opened(), Sent(number=1, initiator=Initiator.CYCLE), Declined(kind="hard")
    )
    request = SetPaymentMethod(
        customer_id=subscription.customer_id, payment_method="pm_card_mastercard"
    )

    customer = await studio.do(Customer, "set_payment_method", request)

    assert customer.payment_method == "pm_card_mastercard"
    [signal] = studio.messages
    period = studio.now.strftime("%Y%m%dT%H%M%SZ")
    assert signal.subject == f"workflows.renewal.signal.renewal-{subscription.id}-{period}"
    assert msgspec.json.decode(signal.body)["type"] == "renewal_changed"
    invoice = await studio.last_invoice(subscription)
    assert invoice.automatic
    row = await studio.pool.fetchrow("SELECT requested_by FROM invoices")
    assert row is not None
    assert row["requested_by"] == "customer"


async def test_the_same_payment_method_again_changes_nothing(studio: Studio) -> None:
    customer_id = await studio.customer(payment_method=None)
    request = SetPaymentMethod(customer_id=customer_id, payment_method="pm_card_visa")
    first = await studio.do(Customer, "set_payment_method", request)
    assert await studio.do(Customer, "payment_method_changed", request) == first
    assert [event for event in studio.events if isinstance(event, PaymentMethodChanged)] == [
        PaymentMethodChanged(customer_id=customer_id)
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("update_customer", UpdateCustomer(customer_id=uuid4())),
        ("set_payment_method", SetPaymentMethod(customer_id=uuid4(), payment_method="pm")),
        ("customer", ByCustomer(customer_id=uuid4())),
        ("subscriptions", ByCustomer(customer_id=uuid4())),
        ("invoices", PageOfCustomer(customer_id=uuid4())),
        ("customer_usage", ByCustomer(customer_id=uuid4())),
        ("balances", ByCustomer(customer_id=uuid4())),
    ],
)
async def test_requests_about_nobody_are_refused(
    studio: Studio, name: str, message: Message
) -> None:
    refused = await studio.refusal(name, message)
    assert (refused.code, refused.status) == ("customer_not_found", 404)
    assert refused.field == "customerId"
