"""Two payments that a provider made under one key."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.billing.models import AttemptState, Initiator, Money, Payment, PaymentAttempt
from services.billing.transitions import is_second

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NINE = Money(amount_minor=999, currency="EUR")


@pytest.mark.parametrize(
    ("state", "reference", "second"),
    [
        (AttemptState.SUCCEEDED, "pi_1", True),
        (AttemptState.SUCCEEDED, "pi_2", False),
        (AttemptState.SUCCEEDED, None, False),
        (AttemptState.UNKNOWN, "pi_1", False),
    ],
)
def test_only_beside_money_that_was_taken_is_another_payment_a_second(
    state: AttemptState, reference: str | None, second: bool
) -> None:
    attempt = PaymentAttempt(
        number=1,
        provider="stripe",
        key="one",
        reference=reference,
        initiator=Initiator.CYCLE,
        payment_method="pm_1",
        money=NINE,
        state=state,
        sent_at=NOW,
        created_at=NOW,
    )
    payment = Payment(key="one", reference="pi_2", state="succeeded", money=NINE)
    assert is_second(attempt, payment) is second
