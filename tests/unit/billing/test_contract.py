"""What billing's messages refuse, with the field named."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from shared.messages.base import Message
from shared.messages.billing import (
    ByPlan,
    CancelSubscription,
    CreateCustomer,
    CreatePlan,
    CreateSubscription,
    PageOfCustomer,
    PayInvoice,
    ProviderWebhook,
    ResolveDispute,
    SetPaymentMethod,
    UsageReported,
)

ID = str(uuid4())
PLAN = {"id": "pro", "name": "Pro", "currency": "EUR", "interval": "month"}
USE = {"eventId": "e", "customerId": ID, "metric": "api_calls", "quantity": 1}


@pytest.mark.parametrize(
    ("message", "body", "field"),
    [
        (ByPlan, {"planId": "Pro plan"}, "planId"),
        (CancelSubscription, {"subscriptionId": ID, "atPeriodEnd": "yes"}, "atPeriodEnd"),
        (CreateCustomer, {"currency": "EUR", "email": "nobody"}, "email"),
        (CreateCustomer, {"currency": "EUR", "externalId": "a\u0000b"}, "externalId"),
        (CreateCustomer, {"currency": "EUR", "paymentMethod": "pm card"}, "paymentMethod"),
        (CreatePlan, {**PLAN, "interval": "week"}, "interval"),
        (CreatePlan, {**PLAN, "priceMinor": 9.99}, "priceMinor"),
        (CreatePlan, {**PLAN, "price": 9.99}, "price"),
        (CreatePlan, {**PLAN, "limits": {"apiCalls": -1}}, "limits.apiCalls"),
        (CreatePlan, {**PLAN, "limits": {"api_calls": 5}}, "limits"),
        (CreatePlan, {**PLAN, "trialDays": 731}, "trialDays"),
        (CreateSubscription, {"customerId": ID, "planId": "pro", "trialDays": -1}, "trialDays"),
        (PageOfCustomer, {"customerId": ID, "cursor": "last"}, "cursor"),
        (PayInvoice, {"invoiceId": ID, "by": "dunning"}, "by"),
        (ProviderWebhook, {"provider": "sandbox", "body": "{}", "headers": {}}, "body"),
        (ResolveDispute, {"invoiceId": ID, "resolution": "draw"}, "resolution"),
        (SetPaymentMethod, {"customerId": ID, "paymentMethod": ""}, "paymentMethod"),
        (UsageReported, {**USE, "quantity": -1}, "quantity"),
        (UsageReported, {**USE, "metric": "players"}, "metric"),
        (UsageReported, {**USE, "at": "2026-03-01T12:00:00"}, "at"),
    ],
)
def test_what_could_not_be_stored_is_refused_where_it_comes_in(
    message: type[Message], body: dict[str, object], field: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"`\$\.{field}`"):
        msgspec.json.decode(msgspec.json.encode(body), type=message)


def test_a_provider_s_own_bytes_travel_as_base64() -> None:
    webhook = ProviderWebhook(provider="sandbox", body=b"\x00raw", headers={"a": "b"})
    encoded = msgspec.json.encode(webhook)
    assert msgspec.json.decode(encoded)["body"] == "AHJhdw=="
    assert msgspec.json.decode(encoded, type=ProviderWebhook) == webhook
