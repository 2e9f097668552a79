"""The payment provider that the settings name."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from services.billing.config import PaymentSettings
from services.billing.payments.provider import PaymentProvider
from services.billing.payments.pump import post_to
from services.billing.payments.sandbox import SandboxProvider
from services.billing.payments.stripe import StripeProvider
from shared.postgres.pool import create_pool
from shared.runtime.config import ConfigurationError, Secret
from shared.workflow.ports import Clock

SANDBOX_CONNECTIONS = 4
SANDBOX_IDLE_SECONDS = 60.0
"""How long the receiver of a webhook may take: its row is locked meanwhile."""


@asynccontextmanager
async def payment_provider(
    settings: PaymentSettings, clock: Clock
) -> AsyncGenerator[PaymentProvider]:
    """The provider, closed at the end. A sandbox wants a SandboxPump beside it."""
    if settings.payment_provider == "stripe":
        stripe = StripeProvider(
            _given(settings.stripe_api_key),
            _given(settings.stripe_webhook_secret),
            return_url=settings.stripe_return_url or "",
            base_url=settings.stripe_base_url,
        )
        try:
            yield stripe
        finally:
            await stripe.close()
        return
    secret = _given(settings.sandbox_webhook_secret)
    async with AsyncExitStack() as stack:
        pool = await create_pool(
            settings.database_url.reveal(),
            size=SANDBOX_CONNECTIONS,
            name="billing sandbox",
            idle_timeout_seconds=SANDBOX_IDLE_SECONDS,
        )
        stack.callback(pool.terminate)
        post = None
        if settings.sandbox_webhook_url is not None:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            post = post_to(session, settings.sandbox_webhook_url)
        yield SandboxProvider(pool, clock, secret, post)


def _given(secret: Secret | None) -> Secret:
    if secret is None:
        raise ConfigurationError(("the payment provider's secrets are not set",))
    return secret
