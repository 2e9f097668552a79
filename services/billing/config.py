"""What the billing service takes from its environment."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.runtime.config import Secret
from shared.runtime.definition import ServiceSettings

Url = Annotated[str, Meta(pattern=r"^(https?://\S+)?\Z", description="an http or https address")]


class BillingSettings(ServiceSettings, frozen=True, kw_only=True):
    """Billing's own settings beside every service's."""

    billing_sweep_cron: str = "*/5 * * * *"
    """When customers with something due are looked for, in UTC."""
    sandbox_webhook_secret: Secret = Secret("whsec_sandbox")
    sandbox_webhook_url: Url = ""
    """Where the sandbox posts its webhooks: the gateway's `/api/webhooks/sandbox`."""
