"""What Stripe's webhooks tell, as far as no server is needed to say it."""

from __future__ import annotations

import json

import pytest

from services.billing.payments.stripe_objects import read_event


@pytest.mark.parametrize(
    ("status", "kind"),
    [("needs_response", "disputed"), ("warning_needs_response", None)],
)
def test_a_banks_question_takes_no_money_back(status: str, kind: str | None) -> None:
    dispute = {"amount": 999, "currency": "eur", "payment_intent": "pi_1", "status": status}
    event = {
        "id": "evt_1",
        "type": "charge.dispute.created",
        "created": 1_772_323_200,
        "data": {"object": dispute},
    }
    told = read_event(json.dumps(event).encode())
    assert (told.kind, told.payment and told.payment.reference) == (kind, kind and "pi_1")
