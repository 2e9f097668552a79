"""What the suite needs of a provider beside the port: its customers, its webhooks, its trouble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from services.billing.models import (
    Charge,
    Money,
    Payment,
    ProviderCustomer,
    ProviderEvent,
    Refund,
)
from services.billing.payments.provider import PaymentProvider
from shared.testing.clocks import ManualClock

CUSTOMER = UUID(int=7)
EUROS = Money(amount_minor=1999, currency="EUR")

DECLINES = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedLostCard": "lost_card",
    "pm_card_chargeDeclinedStolenCard": "stolen_card",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedIncorrectCvc": "incorrect_cvc",
    "pm_card_chargeDeclinedProcessingError": "processing_error",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "card_velocity_exceeded",
}

Webhook = tuple[bytes, Mapping[str, str]]


class Bench(Protocol):
    """One provider, to be driven from both sides."""

    clock: ManualClock
    signature_header: str

    @property
    def provider(self) -> PaymentProvider: ...
    @property
    def pending_methods(self) -> Mapping[bool, str]:
        """Payment methods that are pending for three days and then succeed, or do not."""
        ...

    async def unanswered_method(self, *, charged: bool) -> str:
        """A payment method whose next charge is not answered, whether or not it was carried out."""
        ...

    async def go_down(self) -> None:
        """Nobody is answered for a day."""
        ...

    async def settle(self) -> None:
        """Three days pass."""
        ...

    async def confirm(self, key: str) -> None:
        """The customer confirms the payment."""
        ...

    async def dispute(self, key: str) -> None:
        """The customer's bank takes the payment back."""
        ...

    async def webhooks(self) -> list[Webhook]:
        """What the provider wants to tell by now, taken once."""
        ...

    async def known_of_customers(self) -> str:
        """All that the provider keeps of its customers, as text."""
        ...

    async def unknown_webhook(self) -> Webhook:
        """A genuine one about something else."""
        ...


async def charge_of(
    bench: Bench,
    payment_method: str,
    *,
    key: str = "sub-1-20260301T000000Z-1",
    money: Money = EUROS,
) -> Charge:
    """A charge of a customer whom the provider knows."""
    reference = await bench.provider.save_customer(customer())
    return Charge(
        key=key,
        customer_reference=reference,
        payment_method=payment_method,
        money=money,
        metadata={"subscription": "sub-1", "period": "20260301T000000Z"},
    )


def customer(
    email: str | None = "ann@example.org", reference: str | None = None
) -> ProviderCustomer:
    """Ann."""
    return ProviderCustomer(
        customer_id=CUSTOMER,
        email=email,
        timezone="Europe/Berlin",
        payment_method=None,
        reference=reference,
    )


def refund_of(payment: Payment, amount_minor: int, *, number: int = 1) -> Refund:
    """A refund of a part of the payment."""
    return Refund(
        key=f"{payment.key}-refund-{number}",
        charge_key=payment.key,
        provider_reference=payment.reference,
        money=Money(amount_minor=amount_minor, currency=payment.money.currency),
    )


async def events(bench: Bench) -> list[ProviderEvent]:
    """The provider's webhooks, verified."""
    return [
        bench.provider.verify(body, headers, bench.clock.now())
        for body, headers in await bench.webhooks()
    ]
