"""Which status follows which."""

from __future__ import annotations

from itertools import product

import pytest

from services.billing.models import SubscriptionStatus
from services.billing.rules.subscriptions import IllegalTransition, SubscriptionEvent, transition

LEGAL = {
    ("trialing", "paid"): "active",
    ("trialing", "payment_declined"): "past_due",
    ("trialing", "canceled"): "canceled",
    ("incomplete", "paid"): "active",
    ("incomplete", "canceled"): "canceled",
    ("active", "payment_declined"): "past_due",
    ("active", "canceled"): "canceled",
    ("past_due", "paid"): "active",
    ("past_due", "canceled"): "canceled",
}


@pytest.mark.rule("billing-transitions")
@pytest.mark.parametrize(("status", "event"), list(product(SubscriptionStatus, SubscriptionEvent)))
def test_each_pair_is_legal_or_refused(
    status: SubscriptionStatus, event: SubscriptionEvent
) -> None:
    after = LEGAL.get((status, event))
    if after is None:
        with pytest.raises(IllegalTransition, match=f"{status} has no {event}"):
            transition(status, event)
    else:
        assert transition(status, event) == after
