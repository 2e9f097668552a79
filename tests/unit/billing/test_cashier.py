"""What a refusal of the provider means to an attempt, and what an answer that lags."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.billing.models import (
    Charge,
    Money,
    Payment,
    ProviderCustomer,
    ProviderEvent,
    Refund,
)
from services.billing.payments.provider import (
    OutcomeUnclear,
    RequestRefused,
    SignatureRefused,
)
from services.billing.workflows.cashier import Cashier, Order
from shared.workflow.call import Call
from shared.workflow.errors import NonRetryableError

CUSTOMER = UUID("5d2c1c1e-6f0a-4f43-9f53-8a0f6c1b7d10")
CALL = Call("key", 1, datetime(2026, 3, 1, tzinfo=UTC), timedelta(seconds=30), "renewal-1")


class Refusing:
    """Knows nothing under any key, and takes no charge."""

    name = "refusing"

    async def save_customer(self, customer: ProviderCustomer) -> str:
        return str(customer.customer_id)

    async def forget_customer(self, customer_id: UUID, reference: str | None) -> None:
        raise RequestRefused(f"there is no customer {customer_id} ({reference})")

    async def charge(self, charge: Charge) -> Payment:
        raise RequestRefused(f"the key {charge.key} stands for another charge")

    async def find(self, key: str) -> Payment | None:
        del key
        return None

    async def refund(self, refund: Refund) -> Payment:
        raise RequestRefused(f"there is no payment {refund.charge_key}")

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderEvent:
        raise SignatureRefused(f"nobody signed these {len(body)} bytes: {headers}, {now}")

    async def customer(self, customer_id: UUID) -> ProviderCustomer:
        return ProviderCustomer(
            customer_id=customer_id, email=None, timezone="UTC", payment_method="pm_card_visa"
        )


def order(*, may_have_arrived: bool, provider: str = "refusing") -> Order:
    return Order(
        customer_id=CUSTOMER,
        provider=provider,
        may_have_arrived=may_have_arrived,
        charge=Charge(
            key="one",
            customer_reference="",
            payment_method="pm_card_visa",
            money=Money(amount_minor=999, currency="EUR"),
        ),
    )


@pytest.mark.parametrize(("may_have_arrived", "outcome"), [(False, "refused"), (True, "unknown")])
async def test_a_refusal_tells_nothing_of_what_was_sent_before(
    may_have_arrived: bool, outcome: str
) -> None:
    provider = Refusing()
    answer = await Cashier(provider, provider).send(CALL, order(may_have_arrived=may_have_arrived))
    assert (answer.outcome, answer.reason) == (outcome, "request_refused")


async def test_a_payment_that_is_not_found_yet_is_given_back_later() -> None:
    provider = Refusing()
    with pytest.raises(OutcomeUnclear):
        await Cashier(provider, provider).give_back(CALL, order(may_have_arrived=False))


async def test_what_another_provider_has_is_neither_asked_for_nor_sent_nor_given_back() -> None:
    provider = Refusing()
    cashier, others = Cashier(provider, provider), order(may_have_arrived=True, provider="former")
    assert (await cashier.find(CALL, others)).outcome == "not_told"
    assert (await cashier.send(CALL, others)).outcome == "unknown"
    with pytest.raises(NonRetryableError, match="the money is at former"):
        await cashier.give_back(CALL, others)


class Searchless(Refusing):
    """Takes no look-up either."""

    async def find(self, key: str) -> Payment | None:
        raise RequestRefused(f"search is not for you: {key}")


async def test_a_refused_look_up_is_no_decline() -> None:
    provider = Searchless()
    answer = await Cashier(provider, provider).send(CALL, order(may_have_arrived=False))
    assert answer.outcome == "not_sent"
