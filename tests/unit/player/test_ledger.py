"""What may be earned, spent and taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.player.models import Amounts, Earning, Entry
from services.player.rules.ledger import (
    difference,
    earned_xp,
    revocable,
    same_amounts,
    shortage,
)

AMOUNTS = st.builds(
    Amounts,
    xp=st.integers(0, 10**6),
    coins=st.integers(0, 10**6),
    skill_points=st.integers(0, 10**6),
)


@pytest.mark.parametrize(
    ("earning", "score", "xp"),
    [
        (Earning(xp=5, daily_cap=None, earned_today=10**6), 0, 5),
        (Earning(xp=5, daily_cap=12, earned_today=5), 0, 5),
        (Earning(xp=5, daily_cap=12, earned_today=10), 0, 2),
        (Earning(xp=5, daily_cap=12, earned_today=12), 0, 0),
        (Earning(xp=5, daily_cap=12, earned_today=20), 0, 0),
        (Earning(xp=None, daily_cap=None), 150, 150),
        (Earning(xp=None, daily_cap=100), 150, 100),
    ],
)
def test_an_event_gives_its_xp_up_to_the_cap(earning: Earning, score: int, xp: int) -> None:
    assert earned_xp(earning, score) == xp


@pytest.mark.rule("player-spend")
@given(balance=AMOUNTS, asked=AMOUNTS)
def test_a_purse_is_short_exactly_where_it_would_go_below_zero(
    balance: Amounts, asked: Amounts
) -> None:
    left = difference(balance, asked)
    assert (shortage(balance, asked) is None) == (min(left.xp, left.coins, left.skill_points) >= 0)


@pytest.mark.rule("player-spend")
def test_a_shortage_names_the_balance() -> None:
    assert shortage(Amounts(coins=5, skill_points=1), Amounts(coins=5, skill_points=2)) == (
        "skill_points"
    )


@pytest.mark.rule("player-spend")
@given(balance=AMOUNTS, asked=AMOUNTS)
def test_a_revoke_takes_to_zero_at_most_and_records_the_rest(
    balance: Amounts, asked: Amounts
) -> None:
    taken = revocable(balance, asked)
    left, rest = difference(balance, taken), difference(asked, taken)
    for name in Amounts.__struct_fields__:
        assert getattr(left, name) >= 0
        assert getattr(rest, name) >= 0
        assert getattr(left, name) == 0 or getattr(rest, name) == 0


@pytest.mark.rule("player-spend")
def test_entries_are_told_apart_by_what_they_move_not_by_their_words() -> None:
    entry = Entry(kind="grant", key="k", reason="a gift", coins=5)
    assert same_amounts(entry, Entry(kind="grant", key="k", reason="the same gift", coins=5))
    assert not same_amounts(entry, Entry(kind="grant", key="k", reason="a gift", coins=6))
    assert not same_amounts(entry, Entry(kind="grant", key="k", reason="", coins=5, items=("a",)))
