"""What the billing service takes from its environment."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from shared.runtime.config import Secret
from shared.runtime.definition import Days, ServiceSettings

CODES = r"^([a-z0-9_]{1,64}(,[a-z0-9_]{1,64})*)?$"


class PaymentSettings(ServiceSettings, frozen=True, kw_only=True):
    """Who moves the money. There is no default: a sandbox that was meant to be Stripe would give
    everything away."""

    NEEDS: ClassVar[tuple[tuple[str, str], ...]] = (
        *ServiceSettings.NEEDS,
        ("payment_provider=sandbox", "sandbox_webhook_secret"),
        ("payment_provider=stripe", "stripe_api_key"),
        ("payment_provider=stripe", "stripe_webhook_secret"),
        ("payment_provider=stripe", "stripe_return_url"),
    )

    payment_provider: Annotated[
        Literal["sandbox", "stripe"],
        Meta(description="stripe, or sandbox, which moves no real money"),
    ]
    sandbox_webhook_secret: Annotated[
        Secret | None, Meta(description="any text, what the sandbox signs its webhooks with")
    ] = None
    sandbox_webhook_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://\S+$")] | None,
        Meta(
            description="where the sandbox posts its webhooks: "
            "the gateway's address and /api/webhooks/sandbox"
        ),
    ] = None
    """None: nowhere; pending payments end when they are looked at."""
    stripe_api_key: Annotated[
        Secret | None, Meta(description="the account's secret or restricted key, such as sk_live_…")
    ] = None
    stripe_webhook_secret: Annotated[
        Secret | None, Meta(description="the signing secret of the webhook endpoint: whsec_…")
    ] = None
    stripe_return_url: Annotated[
        Annotated[str, Meta(pattern="^https://")] | None,
        Meta(
            description="the https address where a customer goes on after they confirmed a payment"
        ),
    ] = None
    stripe_base_url: Annotated[
        str,
        Meta(pattern="^https?://[^/]+$", description="an address without a path"),
    ] = "https://api.stripe.com"
    """Of another server than Stripe's, in tests."""


class BillingSettings(PaymentSettings, frozen=True, kw_only=True):
    """Billing's own settings beside every service's."""

    billing_sweep_cron: Annotated[
        str, Meta(description="a cron expression of five fields, such as */5 * * * *")
    ] = "*/5 * * * *"
    """When customers with something due are looked for, in UTC."""
    dunning_retry_days: Annotated[
        str, Meta(pattern=r"^([0-9]{1,3}(,[0-9]{1,3})*)?$", description="days such as 1,3,7,14,30")
    ] = "1,3,7,14,30"
    """When a declined payment is tried again, in days after the first failure."""
    dunning_cancel_days: Days = 30
    """From when a subscription whose retries are used up is canceled."""
    dunning_stop_days: Days = 37
    """From when it is canceled whatever may still arrive."""
    hard_declines: Annotated[str, Meta(pattern=CODES, description="codes, by commas")] = ""
    """Codes of declines after which only another payment method helps, beside the table's own."""
    soft_declines: Annotated[str, Meta(pattern=CODES, description="codes, by commas")] = ""
    """Codes of declines that may pass by themselves, beside the table's own."""
