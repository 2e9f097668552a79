"""What a decline means: whether the same payment method may be tried again."""

from __future__ import annotations

from collections.abc import Mapping

from services.billing.models import DeclineClass

DECLINES: Mapping[str, DeclineClass] = {
    # Only the customer can confirm it, so no retry without them succeeds.
    "authentication_required": "hard",
    "expired_card": "hard",
    "fraudulent": "hard",
    "highest_risk_level": "hard",
    "incorrect_number": "hard",
    "lost_card": "hard",
    "pickup_card": "hard",
    "revocation_of_all_authorizations": "hard",
    "revocation_of_authorization": "hard",
    "stolen_card": "hard",
    "transaction_not_allowed": "hard",
    "card_velocity_exceeded": "soft",
    "do_not_honor": "soft",
    "generic_decline": "soft",
    "insufficient_funds": "soft",
    "processing_error": "soft",
    "try_again_later": "soft",
}
"""The providers' codes; a service may be configured with a table of its own."""


def decline_class(code: str | None, table: Mapping[str, DeclineClass] = DECLINES) -> DeclineClass:
    """Soft for a code that the table does not know: a retry too many costs less than a customer."""
    return "soft" if code is None else table.get(code, "soft")
