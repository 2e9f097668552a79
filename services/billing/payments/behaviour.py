"""How the sandbox treats a payment method, read from the method's name."""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the charges of one customer with one payment method."""

    decline_code: str | None = None
    declines: int | None = None
    """How many charges are declined before one succeeds; None: each."""
    unanswered: Literal["before_charging", "after_charging"] | None = None
    """The first send of a key gets no answer, whether or not the money moved."""
    pending_days: int = 0
    needs_customer: bool = False
    """Pending until the customer confirms it."""
    webhook_first: bool = False
    """The charge is answered only after its webhook was delivered."""
    webhook_reordered: bool = False
    """Its events are told twice each, the last one first."""
    down_days: int = 0
    """How long the provider is away for this customer, from the first charge on."""
    disputed_after_days: int | None = None
    """When the customer's bank takes a successful charge back."""

    def decline(self, earlier_declines: int) -> str | None:
        """The code with which a charge is declined after `earlier_declines` others, if it is."""
        if self.declines is not None and earlier_declines >= self.declines:
            return None
        return self.decline_code


BRANDS = "amex diners discover jcb mastercard mastercard_debit mastercard_prepaid unionpay"

CARDS = {
    **{f"pm_card_{brand}": Behaviour() for brand in f"visa visa_debit {BRANDS}".split()},
    **{
        f"pm_card_{name}": Behaviour(decline_code=code)
        for name, code in {
            "chargeDeclined": "generic_decline",
            "chargeDeclinedInsufficientFunds": "insufficient_funds",
            "chargeDeclinedLostCard": "lost_card",
            "chargeDeclinedStolenCard": "stolen_card",
            "chargeDeclinedExpiredCard": "expired_card",
            "chargeDeclinedIncorrectCvc": "incorrect_cvc",
            "chargeDeclinedProcessingError": "processing_error",
            "chargeDeclinedVelocityLimitExceeded": "card_velocity_exceeded",
            "chargeDeclinedFraudulent": "fraudulent",
            "chargeCustomerFail": "generic_decline",
            "radarBlock": "fraudulent",
        }.items()
    },
    "pm_card_authenticationRequired": Behaviour(needs_customer=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Behaviour(
        needs_customer=True, decline_code="insufficient_funds"
    ),
    "pm_card_createDispute": Behaviour(disputed_after_days=0),
}
"""Stripe's test cards by their names; it has some also as `pm_card_visa_chargeDeclined…`."""

PLAIN = {
    "sandbox_timeout_before_charging": Behaviour(unanswered="before_charging"),
    "sandbox_timeout_after_charging": Behaviour(unanswered="after_charging"),
    "sandbox_authentication_required": Behaviour(needs_customer=True),
    "sandbox_webhook_first": Behaviour(webhook_first=True),
    "sandbox_webhook_twice_reordered": Behaviour(webhook_reordered=True),
}

DECLINED = re.compile(r"sandbox_declined_(\d+)_then_succeeds")
DECLINED_WITH = re.compile(r"sandbox_declined_with_([a-z_]+)")
PENDING = re.compile(r"sandbox_pending_(\d+)_days_then_(succeeds|declines)")
DOWN = re.compile(r"sandbox_down_(\d+)_days_then_(succeeds|declines)")
DISPUTED = re.compile(r"sandbox_disputed_after_(\d+)_days")


def behaviour(payment_method: str) -> Behaviour | None:
    """What the name asks for: a test card of Stripe, or what no card can do. None: no such name."""
    name = payment_method.replace("pm_card_visa_charge", "pm_card_charge")
    if (known := CARDS.get(name) or PLAIN.get(name)) is not None:
        return known
    if match := DECLINED.fullmatch(name):
        return Behaviour(decline_code="generic_decline", declines=int(match[1]))
    if match := DECLINED_WITH.fullmatch(name):
        return Behaviour(decline_code=match[1])
    if match := PENDING.fullmatch(name):
        return Behaviour(pending_days=int(match[1]), decline_code=_code(match[2]))
    if match := DOWN.fullmatch(name):
        return Behaviour(down_days=int(match[1]), decline_code=_code(match[2]))
    if match := DISPUTED.fullmatch(name):
        return Behaviour(disputed_after_days=int(match[1]))
    return None


def _code(ending: str) -> str | None:
    return "generic_decline" if ending == "declines" else None
