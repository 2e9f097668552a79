"""The settings name one provider, with all that it needs."""

from __future__ import annotations

import pytest

from services.billing.config import PaymentSettings
from services.billing.payments.choosing import payment_provider
from shared.runtime.config import ConfigurationError, load
from shared.testing.clocks import ManualClock

BASE = {"NATS_URL": "nats://a", "DATABASE_URL": "postgresql://billing:hunter2@127.0.0.1/forge"}
STRIPE = {
    "PAYMENT_PROVIDER": "stripe",
    "STRIPE_API_KEY": "sk_test_hunter2",
    "STRIPE_WEBHOOK_SECRET": "whsec_hunter2",
    "STRIPE_RETURN_URL": "https://game.example.org/paid",
}
SANDBOX = {"PAYMENT_PROVIDER": "sandbox", "SANDBOX_WEBHOOK_SECRET": "hunter2"}


@pytest.mark.parametrize("chosen", [STRIPE, SANDBOX], ids=["stripe", "sandbox"])
async def test_the_provider_that_is_named_is_made(chosen: dict[str, str]) -> None:
    settings = load(PaymentSettings, {**BASE, **chosen})
    async with payment_provider(settings, ManualClock()) as provider:
        assert provider.name == chosen["PAYMENT_PROVIDER"]
    assert "hunter2" not in repr(settings)


def test_no_provider_is_chosen_by_itself() -> None:
    with pytest.raises(ConfigurationError, match="PAYMENT_PROVIDER is not set: set it to stripe"):
        load(PaymentSettings, BASE)


@pytest.mark.parametrize(
    ("provider", "variables"), [("stripe", list(STRIPE)[1:]), ("sandbox", list(SANDBOX)[1:])]
)
def test_what_the_provider_needs_is_told_at_once(provider: str, variables: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(PaymentSettings, {**BASE, "PAYMENT_PROVIDER": provider})
    assert len(refused.value.problems) == len(variables)
    for variable, problem in zip(variables, refused.value.problems, strict=True):
        assert f"{variable} is not set, and PAYMENT_PROVIDER={provider} needs it" in problem


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PAYMENT_PROVIDER", "paypal"),
        ("STRIPE_RETURN_URL", "http://game.example.org/paid"),
        ("STRIPE_BASE_URL", "https://api.stripe.com/v1"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable} is wrong"):
        load(PaymentSettings, {**BASE, **STRIPE, variable: value})
