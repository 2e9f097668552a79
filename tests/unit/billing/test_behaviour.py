"""The names of the sandbox's payment methods."""

from __future__ import annotations

import pytest

from services.billing.payments.behaviour import CARDS, PLAIN, Behaviour, behaviour


@pytest.mark.parametrize(
    ("payment_method", "expected"),
    [
        ("pm_card_visa", Behaviour()),
        ("pm_card_visa_chargeDeclinedLostCard", Behaviour(decline_code="lost_card")),
        ("sandbox_declined_with_do_not_honor", Behaviour(decline_code="do_not_honor")),
        (
            "sandbox_declined_3_then_succeeds",
            Behaviour(decline_code="generic_decline", declines=3),
        ),
        ("sandbox_pending_3_days_then_succeeds", Behaviour(pending_days=3)),
        (
            "sandbox_pending_30_days_then_declines",
            Behaviour(pending_days=30, decline_code="generic_decline"),
        ),
        ("sandbox_down_35_days_then_succeeds", Behaviour(down_days=35)),
        ("sandbox_disputed_after_10_days", Behaviour(disputed_after_days=10)),
        ("sandbox_timeout_after_charging", Behaviour(unanswered="after_charging")),
    ],
)
def test_a_name_says_what_happens(payment_method: str, expected: Behaviour) -> None:
    assert behaviour(payment_method) == expected


@pytest.mark.parametrize(
    "payment_method",
    [
        "",
        "pm_card_",
        "visa",
        "sandbox_",
        "sandbox_declined_then_succeeds",
        "sandbox_declined_-1_then_succeeds",
        "sandbox_pending_3_days",
        "sandbox_pending_3_days_then_explodes",
        "sandbox_timeout_after_charging ",
    ],
)
def test_any_other_name_is_no_payment_method(payment_method: str) -> None:
    assert behaviour(payment_method) is None


def test_each_listed_name_is_one() -> None:
    assert {name for name in [*CARDS, *PLAIN] if behaviour(name) is None} == set()


def test_declines_are_counted_down() -> None:
    asked = Behaviour(decline_code="generic_decline", declines=2)
    assert [asked.decline(n) for n in range(4)] == [
        "generic_decline",
        "generic_decline",
        None,
        None,
    ]
    assert Behaviour(decline_code="lost_card").decline(99) == "lost_card"
