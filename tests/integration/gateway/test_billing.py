"""Calls about customers, plans, subscriptions, invoices and use, and providers' webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.routes import billing
from shared.messages import subjects
from shared.messages.billing import ProviderWebhook
from shared.messages.problems import Refused
from shared.workflow.errors import Transient
from tests.integration.gateway.answering import AnsweringService, answering

Http = TestClient[Request, Application]

ID = str(uuid4())
CUSTOMER = f"/api/customers/{ID}"
SUBSCRIPTION = f"/api/subscriptions/{ID}"
INVOICE = f"/api/invoices/{ID}"
PLAN = {"id": "pro", "name": "Pro", "price": "9.99", "currency": "EUR", "interval": "month"}
WEBHOOK = "commands.billing.provider_webhook"


@pytest.fixture
async def service(nats_client: Client) -> AsyncIterator[AnsweringService]:
    async with answering(nats_client, "billing", billing.TABLE, WEBHOOK) as fake:
        yield fake


ADDRESSES: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/customers", {"currency": "EUR"}, 201, "commands.billing.create_customer"),
    ("GET", CUSTOMER, None, 200, "queries.billing.customer"),
    ("PATCH", CUSTOMER, {"email": None}, 200, "commands.billing.update_customer"),
    (
        "PUT",
        f"{CUSTOMER}/payment-method",
        {"paymentMethod": "pm_card_visa"},
        200,
        "commands.billing.set_payment_method",
    ),
    ("GET", f"{CUSTOMER}/subscriptions", None, 200, "queries.billing.subscriptions"),
    ("GET", f"{CUSTOMER}/invoices?limit=5&cursor={ID}", None, 200, "queries.billing.invoices"),
    ("GET", f"{CUSTOMER}/usage", None, 200, "queries.billing.customer_usage"),
    ("GET", f"{CUSTOMER}/balances", None, 200, "queries.billing.balances"),
    ("GET", "/api/plans?includeInactive=true", None, 200, "queries.billing.plans"),
    ("POST", "/api/plans", PLAN, 201, "commands.billing.create_plan"),
    ("GET", "/api/plans/pro", None, 200, "queries.billing.plan"),
    ("PATCH", "/api/plans/pro", {"active": False}, 200, "commands.billing.update_plan"),
    ("DELETE", "/api/plans/pro", None, 200, "commands.billing.delete_plan"),
    (
        "POST",
        "/api/subscriptions",
        {"customerId": ID, "planId": "pro"},
        201,
        "commands.billing.create_subscription",
    ),
    ("GET", SUBSCRIPTION, None, 200, "queries.billing.subscription"),
    ("GET", f"{SUBSCRIPTION}/events", None, 200, "queries.billing.subscription_events"),
    ("PUT", f"{SUBSCRIPTION}/plan", {"planId": "pro"}, 200, "commands.billing.change_plan"),
    (
        "POST",
        f"{SUBSCRIPTION}/cancel",
        {"atPeriodEnd": True},
        200,
        "commands.billing.cancel_subscription",
    ),
    ("POST", f"{SUBSCRIPTION}/uncancel", None, 200, "commands.billing.uncancel_subscription"),
    ("GET", INVOICE, None, 200, "queries.billing.invoice"),
    ("POST", f"{INVOICE}/pay", {"by": "admin"}, 202, "commands.billing.pay_invoice"),
    ("POST", f"{INVOICE}/refund", None, 202, "commands.billing.refund_invoice"),
    (
        "POST",
        f"{INVOICE}/resolve",
        {"resolution": "won"},
        200,
        "commands.billing.resolve_dispute",
    ),
    (
        "POST",
        "/api/usage",
        {"customerId": ID, "metric": "api_calls", "quantity": 1},
        201,
        "commands.billing.usage",
    ),
    ("GET", "/api/billing/invariants", None, 200, "queries.billing.invariants"),
]


def test_every_address_of_the_table_is_tried() -> None:
    assert len(ADDRESSES) == len(billing.TABLE)


@pytest.mark.parametrize(("method", "path", "body", "expected", "subject"), ADDRESSES)
async def test_a_call_becomes_one_request(
    http: Http,
    service: AnsweringService,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    expected: int,
    subject: str,
) -> None:
    async with http.request(method, path, json=body) as answer:
        assert answer.status == expected
    [asked] = service.asked
    assert asked.subject == subject
    assert (body or {}).items() <= asked.body.items()
    assert asked.headers[subjects.ACTOR] == "key:bootstrap"


async def test_use_reported_again_under_its_key_is_the_same_event(
    http: Http, service: AnsweringService
) -> None:
    body = {"customerId": ID, "metric": "api_calls", "quantity": 1}
    for _ in range(2):
        await http.post("/api/usage", json=body, headers={"Idempotency-Key": "once"})
    first, second = service.asked
    assert first.body["eventId"] == second.body["eventId"]


async def test_a_webhook_is_passed_on_as_it_came_and_needs_no_key(
    http: Http, service: AnsweringService
) -> None:
    raw = b'{ "id":"evt_1",\t"odd":  "spacing" }\xff'
    headers = {
        "Authorization": "Bearer whatever",
        "Cookie": "session=secret",
        "Stripe-Signature": "t=1,v1=ab",
        "Content-Type": "text/plain",
    }
    async with http.post("/api/webhooks/stripe", data=raw, headers=headers) as answer:
        assert answer.status == 200
    [asked] = service.asked
    assert asked.subject == WEBHOOK
    assert asked.headers[subjects.ACTOR] == "webhook:stripe"
    webhook = msgspec.convert(asked.body, ProviderWebhook)
    assert (webhook.provider, webhook.body) == ("stripe", raw)
    assert webhook.headers["stripe-signature"] == "t=1,v1=ab"
    assert not {"authorization", "cookie"} & webhook.headers.keys()


@pytest.mark.parametrize(
    ("failure", "status"),
    [(Refused("signature_refused", "too old", status=400), 400), (Transient("away"), 503)],
)
async def test_a_webhook_that_was_not_kept_is_no_success(
    http: Http, service: AnsweringService, failure: Exception, status: int
) -> None:
    service.failure = failure
    async with http.post("/api/webhooks/sandbox", data=b"{}") as answer:
        assert answer.status == status


async def test_no_other_address_is_open(http: Http, service: AnsweringService) -> None:
    for path in ("/api/webhooks", "/api/webhooks/stripe/more", "/api/plans"):
        async with http.post(path, data=b"{}", headers={"Authorization": ""}) as answer:
            assert answer.status == 401
    async with http.post("/api/webhooks/a%0Ab", data=b"{}") as answer:
        assert answer.status == 422
    async with http.post("/api/webhooks/stripe", data=b"x" * 900_000) as answer:
        assert answer.status == 413
    assert service.asked == []
