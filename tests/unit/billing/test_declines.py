"""What a decline means."""

from __future__ import annotations

import pytest

from services.billing.rules.declines import decline_class

HARD = [
    "incorrect_number",
    "lost_card",
    "pickup_card",
    "stolen_card",
    "revocation_of_authorization",
    "revocation_of_all_authorizations",
    "authentication_required",
    "highest_risk_level",
    "transaction_not_allowed",
    "expired_card",
    "fraudulent",
]
SOFT = [
    "insufficient_funds",
    "generic_decline",
    "do_not_honor",
    "processing_error",
    "try_again_later",
    "card_velocity_exceeded",
]


@pytest.mark.rule("billing-hard-declines")
@pytest.mark.parametrize("code", HARD)
def test_these_are_hard(code: str) -> None:
    assert decline_class(code) == "hard"


@pytest.mark.rule("billing-hard-declines")
@pytest.mark.parametrize("code", [*SOFT, "a_code_of_tomorrow", "", None])
def test_these_and_unknown_ones_are_soft(code: str | None) -> None:
    assert decline_class(code) == "soft"


@pytest.mark.rule("billing-hard-declines")
def test_the_table_is_configuration() -> None:
    assert decline_class("do_not_honor", {"do_not_honor": "hard"}) == "hard"
    assert decline_class("lost_card", {"do_not_honor": "hard"}) == "soft"
