"""Stripe's adapter over the emulator, driven from both sides."""

from __future__ import annotations

from datetime import timedelta

from services.billing.payments.provider import ANSWER_SECONDS
from services.billing.payments.stripe import SIGNATURE_HEADER, StripeProvider
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from shared.testing.stripe_emulator.server import StripeEmulator
from tests.conformance.payments.bench import Webhook

API_KEY = "sk_test_emulated"
SECRET = "whsec_emulated"


def provider_at(
    url: str, *, api_key: str = API_KEY, timeout_seconds: float = ANSWER_SECONDS
) -> StripeProvider:
    """The adapter that asks another server than Stripe's."""
    return StripeProvider(
        Secret(api_key),
        Secret(SECRET),
        return_url="https://game.example.org/paid",
        base_url=url,
        timeout_seconds=timeout_seconds,
    )


class StripeBench:
    """See Bench."""

    signature_header = SIGNATURE_HEADER

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.emulator = StripeEmulator(self.clock.now, api_key=API_KEY, webhook_secret=SECRET)
        self.pending_methods = {
            True: "pm_usBankAccount_success",
            False: "pm_usBankAccount_insufficientFunds",
        }

    async def start(self) -> None:
        await self.emulator.start()
        self.provider = provider_at(self.emulator.url)

    async def stop(self) -> None:
        await self.provider.close()
        await self.emulator.stop()

    async def unanswered_method(self, *, charged: bool) -> str:
        self.emulator.losing = "answer" if charged else "request"
        return "pm_card_visa"

    async def go_down(self) -> None:
        # A connection that breaks while it is used leaves the outcome unclear: here is none.
        await self.provider.close()
        await self.emulator.stop()
        self.provider = provider_at(self.emulator.url)

    async def settle(self) -> None:
        self.clock.advance(timedelta(days=3))
        self.emulator.account.settle()

    async def confirm(self, key: str) -> None:
        self.emulator.account.authenticate(await self._reference(key))

    async def dispute(self, key: str) -> None:
        self.emulator.account.dispute(await self._reference(key))

    async def webhooks(self) -> list[Webhook]:
        return [*self.emulator.webhooks()]

    async def known_of_customers(self) -> str:
        return str(self.emulator.account.customers)

    async def unknown_webhook(self) -> Webhook:
        self.emulator.account.tell_unknown()
        return self.emulator.webhooks()[-1]

    async def _reference(self, key: str) -> str:
        found = await self.provider.find(key)
        assert found is not None
        return found.reference
