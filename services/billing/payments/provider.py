"""The port to whoever moves the money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.billing.models import Charge, Payment, ProviderCustomer, ProviderEvent, Refund

ANSWER_SECONDS = 30.0
"""How long a provider may take to answer."""


class ProviderUnreachable(Exception):
    """The request never left, or was refused before the provider looked at it: nothing moved."""


class OutcomeUnclear(Exception):
    """No answer, or none that tells: the money may have moved. Only `find` can say."""


class RequestRefused(Exception):
    """The provider says that the request can never be right, as for a key with another amount."""


class SignatureRefused(Exception):
    """A webhook that is not the provider's, too old, or damaged."""


class PaymentProvider(Protocol):
    """One provider. Every method but `verify` asks it over the network and raises
    ProviderUnreachable, OutcomeUnclear or RequestRefused."""

    name: str

    async def save_customer(self, customer: ProviderCustomer) -> str:
        """Tells the provider who the customer is; its id of them. Again changes nothing."""
        ...

    async def forget_customer(self, customer_id: UUID, reference: str | None) -> None:
        """Has the provider delete what it was told of the customer; payments stay. Of nobody, and
        again, it changes nothing. Without a reference they are found by their id here."""
        ...

    async def charge(self, charge: Charge) -> Payment:
        """Takes the money, once per key; a decline is an answer, no error."""
        ...

    async def find(self, key: str) -> Payment | None:
        """The payment under a charge's key; None where the provider knows none."""
        ...

    async def refund(self, refund: Refund) -> Payment:
        """Gives the money back, once per key; the payment as it is then."""
        ...

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderEvent:
        """The event in a webhook, by its signature over the raw body and its instant within
        300 s of `now`. Raises SignatureRefused."""
        ...
