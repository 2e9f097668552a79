"""What business events write down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.models import Money
from services.billing.rules import ledger
from services.billing.rules.ledger import Entries

MONEY = st.builds(
    Money, amount_minor=st.integers(1, 10**15), currency=st.sampled_from(["EUR", "JPY", "KWD"])
)
NINE = Money(amount_minor=999, currency="EUR")
EVENTS: dict[str, tuple[Callable[[Money], Entries], str, str]] = {
    "opened": (ledger.opened, "receivable", "revenue"),
    "paid": (lambda money: ledger.paid(money, "stripe"), "cash:stripe", "receivable"),
    "written off": (ledger.written_off, "bad_debt", "receivable"),
    "surplus received": (
        lambda money: ledger.surplus_received(money, "stripe"),
        "cash:stripe",
        "surplus",
    ),
    "surplus refunded": (
        lambda money: ledger.surplus_refunded(money, "stripe"),
        "surplus",
        "cash:stripe",
    ),
    "refunded": (lambda money: ledger.refunded(money, "stripe"), "refunds", "cash:stripe"),
    "charged back": (
        lambda money: ledger.charged_back(money, "stripe"),
        "receivable",
        "cash:stripe",
    ),
    "dispute won": (lambda money: ledger.dispute_won(money, "stripe"), "cash:stripe", "receivable"),
}


def balances(*events: Entries) -> dict[str, int]:
    """What is left on each account, without those at zero."""
    sums = Counter[str]()
    for entries in events:
        for entry in entries:
            sums[entry.account] += entry.amount_minor
    return {account: amount for account, amount in sums.items() if amount}


@pytest.mark.rule("billing-ledger")
@pytest.mark.parametrize("name", EVENTS)
@given(money=MONEY)
def test_every_event_moves_its_money_between_two_accounts(name: str, money: Money) -> None:
    event, debit, credit = EVENTS[name]
    entries = event(money)
    assert entries == (
        (debit, money.amount_minor, money.currency),
        (credit, -money.amount_minor, money.currency),
    )
    assert sum(entry.amount_minor for entry in entries) == 0


@pytest.mark.rule("billing-ledger")
def test_what_is_paid_is_owed_no_longer() -> None:
    paid = (ledger.opened(NINE), ledger.paid(NINE, "sandbox"))
    assert balances(*paid) == {"cash:sandbox": 999, "revenue": -999}


@pytest.mark.rule("billing-ledger")
def test_what_nobody_owed_leaves_nothing_once_it_went_back() -> None:
    late = (ledger.surplus_received(NINE, "sandbox"), ledger.surplus_refunded(NINE, "sandbox"))
    canceled = (ledger.opened(NINE), ledger.written_off(NINE))
    assert balances(*canceled, *late) == {"bad_debt": 999, "revenue": -999}


@pytest.mark.rule("billing-ledger")
def test_a_dispute_won_is_as_if_it_had_not_been() -> None:
    paid = (ledger.opened(NINE), ledger.paid(NINE, "sandbox"))
    disputed = (*paid, ledger.charged_back(NINE, "sandbox"))
    assert balances(*disputed) == {"receivable": 999, "revenue": -999}
    assert balances(*disputed, ledger.dispute_won(NINE, "sandbox")) == balances(*paid)
    assert balances(*disputed, ledger.written_off(NINE)) == {"bad_debt": 999, "revenue": -999}
