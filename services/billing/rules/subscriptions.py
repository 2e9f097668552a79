"""Which status follows which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from services.billing.models import SubscriptionStatus


class SubscriptionEvent(StrEnum):
    """What changes a subscription's status."""

    PAID = "paid"
    PAYMENT_DECLINED = "payment_declined"
    CANCELED = "canceled"


TRANSITIONS: Mapping[tuple[SubscriptionStatus, SubscriptionEvent], SubscriptionStatus] = {
    (SubscriptionStatus.TRIALING, SubscriptionEvent.PAID): SubscriptionStatus.ACTIVE,
    (SubscriptionStatus.TRIALING, SubscriptionEvent.PAYMENT_DECLINED): SubscriptionStatus.PAST_DUE,
    (SubscriptionStatus.TRIALING, SubscriptionEvent.CANCELED): SubscriptionStatus.CANCELED,
    (SubscriptionStatus.INCOMPLETE, SubscriptionEvent.PAID): SubscriptionStatus.ACTIVE,
    (SubscriptionStatus.INCOMPLETE, SubscriptionEvent.CANCELED): SubscriptionStatus.CANCELED,
    (SubscriptionStatus.ACTIVE, SubscriptionEvent.PAYMENT_DECLINED): SubscriptionStatus.PAST_DUE,
    (SubscriptionStatus.ACTIVE, SubscriptionEvent.CANCELED): SubscriptionStatus.CANCELED,
    (SubscriptionStatus.PAST_DUE, SubscriptionEvent.PAID): SubscriptionStatus.ACTIVE,
    (SubscriptionStatus.PAST_DUE, SubscriptionEvent.CANCELED): SubscriptionStatus.CANCELED,
}
"""All that is legal. What leaves the status as it is, such as an active one's payment, is no
transition."""


class IllegalTransition(Exception):
    """An event that a subscription of this status cannot have."""

    def __init__(self, status: SubscriptionStatus, event: SubscriptionEvent):
        super().__init__(f"a subscription that is {status} has no {event}")
        self.status = status
        self.event = event


def transition(status: SubscriptionStatus, event: SubscriptionEvent) -> SubscriptionStatus:
    """The status after the event. Raises IllegalTransition."""
    after = TRANSITIONS.get((status, event))
    if after is None:
        raise IllegalTransition(status, event)
    return after
