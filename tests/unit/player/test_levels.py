"""The level curve and what levels give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.player.rules import levels
from shared.messages.player import LevelUp

XP = st.integers(min_value=0, max_value=10**9)
LEVEL = st.integers(min_value=1, max_value=200)


@pytest.mark.rule("player-level-curve")
@pytest.mark.parametrize(
    ("xp", "level"), [(0, 1), (99, 1), (100, 2), (1250, 4), (1599, 4), (1600, 5), (980100, 100)]
)
def test_xp_is_worth_a_level(xp: int, level: int) -> None:
    assert levels.level_for(xp) == level


@pytest.mark.rule("player-level-curve")
def test_half_of_the_fourth_level_is_done_at_1250_xp() -> None:
    assert levels.xp_to_next(1250, 4) == 350
    assert levels.percent_to_next(1250, 4) == 50


@pytest.mark.rule("player-level-curve")
@given(level=st.integers(min_value=1, max_value=10**7))
def test_a_level_begins_exactly_at_its_xp(level: int) -> None:
    assert levels.level_for(levels.xp_for(level)) == level
    assert levels.level_for(levels.xp_for(level + 1) - 1) == level


@pytest.mark.rule("player-level-curve")
@given(xp=XP, level=LEVEL)
def test_progress_stays_within_bounds_where_xp_and_stored_level_disagree(
    xp: int, level: int
) -> None:
    assert 0 <= levels.percent_to_next(xp, level) <= 100
    assert levels.xp_to_next(xp, level) >= 0


@pytest.mark.rule("player-level-up")
@pytest.mark.parametrize(
    ("stored", "xp", "settled_xp", "settled_level"),
    [(1, 300, 500, 3), (1, 299, 399, 2), (1, 9200, 10200, 11), (4, 2500, 2700, 6)],
)
def test_a_level_up_settles_to_the_fixpoint(
    stored: int, xp: int, settled_xp: int, settled_level: int
) -> None:
    gained = settled_level - stored
    assert levels.settle(xp, stored) == LevelUp(
        previous_level=stored,
        level=settled_level,
        xp=settled_xp - xp,
        coins=20 * gained,
        skill_points=gained,
    )


@pytest.mark.rule("player-level-up")
@given(xp=XP, stored=LEVEL)
def test_a_settled_level_needs_no_further_settling(xp: int, stored: int) -> None:
    level_up = levels.settle(xp, stored)
    if level_up is not None:
        assert level_up.xp == 100 * (level_up.level - stored)
        assert level_up.level == levels.level_for(xp + level_up.xp)
        assert levels.settle(xp + level_up.xp, level_up.level) is None


@pytest.mark.rule("player-no-demotion")
@given(xp=XP, stored=LEVEL)
def test_a_level_never_falls(xp: int, stored: int) -> None:
    level_up = levels.settle(xp, stored)
    assert level_up is None or level_up.level > stored


@pytest.mark.rule("player-no-demotion")
def test_a_level_above_its_xp_stays_and_gives_nothing() -> None:
    assert levels.settle(1000, 5) is None


@pytest.mark.rule("player-level-up")
@given(xp=st.integers(min_value=0, max_value=10**6), stored=LEVEL)
def test_the_ledger_has_a_row_for_each_level_gained(xp: int, stored: int) -> None:
    level_up = levels.settle(xp, stored)
    if level_up is not None:
        rows = levels.entries(level_up)
        assert [row.key for row in rows] == [
            str(level) for level in range(stored + 1, level_up.level + 1)
        ]
        assert sum(row.xp for row in rows) == level_up.xp
        assert sum(row.coins for row in rows) == level_up.coins
        assert sum(row.skill_points for row in rows) == level_up.skill_points
