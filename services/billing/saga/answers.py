"""What a provider's word of a payment means to its saga."""

from __future__ import annotations

from collections.abc import Mapping

from services.billing.models import DeclineClass, Payment
from services.billing.rules.declines import DECLINES, decline_class
from services.billing.saga.state import Declined, Pending, SagaEvent, Succeeded


def as_event(payment: Payment, declines: Mapping[str, DeclineClass] = DECLINES) -> SagaEvent:
    """The event that the payment's state is."""
    match payment.state:
        case "succeeded":
            return Succeeded()
        case "pending":
            return Pending(needs_customer=payment.action_url is not None)
        case "declined":
            code = payment.decline_code
            return Declined(kind=decline_class(code, declines), code=code)
