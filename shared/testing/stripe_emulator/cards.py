"""Stripe's payment methods for tests, and how they behave at Stripe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """What becomes of an attempt to pay with it."""

    code: str | None = None
    """The error's code, where it is declined."""
    decline_code: str | None = None
    needs_customer: bool = False
    delayed: bool = False
    """A bank account, whose payments are processed for days."""
    attachable: bool = True
    """Cards that the bank declines cannot be attached to a customer either."""
    disputed: bool = False


def _declining(code: str, decline_code: str | None = None) -> Method:
    return Method(code=code, decline_code=decline_code or code, attachable=False)


METHODS = {
    "pm_card_visa": Method(),
    "pm_card_mastercard": Method(),
    "pm_card_amex": Method(),
    "pm_card_chargeDeclined": _declining("card_declined", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": _declining("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": _declining("card_declined", "lost_card"),
    "pm_card_chargeDeclinedStolenCard": _declining("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedFraudulent": _declining("card_declined", "fraudulent"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": _declining(
        "card_declined", "card_velocity_exceeded"
    ),
    "pm_card_chargeDeclinedExpiredCard": _declining("expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": _declining("incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": _declining("processing_error"),
    "pm_card_chargeCustomerFail": Method(code="card_declined", decline_code="generic_decline"),
    "pm_card_authenticationRequired": Method(needs_customer=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Method(
        code="card_declined", decline_code="insufficient_funds", needs_customer=True
    ),
    "pm_card_createDispute": Method(disputed=True),
    "pm_usBankAccount_success": Method(delayed=True),
    "pm_usBankAccount_insufficientFunds": Method(code="insufficient_funds", delayed=True),
}
