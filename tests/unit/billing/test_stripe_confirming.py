"""What a charge at Stripe is once its payment is there and its confirmation was not sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import stripe

from services.billing.models import Charge, Money
from services.billing.payments.provider import OutcomeUnclear
from services.billing.payments.stripe import StripeProvider
from shared.runtime.config import Secret

WAITING = {
    "id": "pi_1",
    "amount": 999,
    "currency": "eur",
    "status": "requires_payment_method",
    "created": 1_772_323_200,
    "metadata": {"charge_key": "one"},
    "last_payment_error": {"code": "authentication_required"},
}


async def create(*_given: Any) -> Any:
    return SimpleNamespace(to_dict=lambda: WAITING)


async def confirm(*_given: Any) -> Any:
    raise stripe.RateLimitError("too many requests")


async def test_a_confirmation_that_was_not_sent_leaves_a_payment_behind() -> None:
    provider = StripeProvider(Secret("sk_test"), Secret("whsec"), return_url="https://example.org")
    intents = SimpleNamespace(create_async=create, confirm_async=confirm)
    provider._api = SimpleNamespace(payment_intents=intents)  # type: ignore[assignment]
    money = Money(amount_minor=999, currency="EUR")
    charge = Charge(key="one", customer_reference="cus_1", payment_method="pm_1", money=money)
    with pytest.raises(OutcomeUnclear):
        await provider.charge(charge)
