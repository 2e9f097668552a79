"""Under which key a customer is told of a payment that failed, or that waits for them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.billing.bookkeeping import failed_key
from services.billing.models import AttemptState, Initiator, Money, PaymentAttempt

INVOICE = UUID(int=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "link", "key"),
    [(1, None, "0"), (1, "https://bank", "0"), (2, None, "0"), (2, "https://bank", "0/2")],
)
def test_the_link_of_a_later_attempt_is_told_too(number: int, link: str | None, key: str) -> None:
    attempt = PaymentAttempt(
        number=number,
        provider="sandbox",
        key=f"key-{number}",
        initiator=Initiator.CYCLE,
        payment_method="pm_card_visa",
        money=Money(amount_minor=999, currency="EUR"),
        state=AttemptState.PENDING,
        action_url=link,
        sent_at=NOW,
        created_at=NOW,
    )
    assert failed_key(INVOICE, attempt) == f"{INVOICE}/{key}"
