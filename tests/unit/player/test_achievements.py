"""Which achievements unlock, and what follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.player.models import Totals
from services.player.rules import levels
from services.player.rules.achievements import Standing, entry, is_reached, settle
from shared.messages.player import Achievement, AchievementReward


def achievement(type_: str, threshold: int, *, xp: int = 0, name: str | None = None) -> Achievement:
    return Achievement(
        id=name or f"{type_}_{threshold}",
        name=name or f"{type_} {threshold}",
        type=type_,
        threshold=threshold,
        reward=AchievementReward(xp=xp),
        hidden=False,
        active=True,
    )


def standing(
    *, level: int = 1, xp: int = 0, streak: int = 0, sessions: int = 0, correct: int = 0,
    answered: int = 0,
) -> Standing:  # fmt: skip
    totals = Totals(sessions=sessions, answered=answered, correct=correct)
    return Standing(level=level, xp=xp, streak=streak, totals=totals)


@pytest.mark.rule("player-achievements")
@pytest.mark.parametrize(
    ("type_", "short", "enough"),
    [
        ("level", standing(level=9), standing(level=10)),
        ("experience", standing(xp=9), standing(xp=10)),
        ("sessions", standing(sessions=9), standing(sessions=10)),
        ("streak", standing(streak=9), standing(streak=10)),
    ],
)
def test_a_criterion_is_met_at_its_threshold(type_: str, short: Standing, enough: Standing) -> None:
    assert not is_reached(achievement(type_, 10), short)
    assert is_reached(achievement(type_, 10), enough)


@pytest.mark.rule("player-achievements")
def test_an_unknown_type_is_never_reached() -> None:
    everything = standing(level=99, xp=10**9, streak=99, sessions=99, correct=9, answered=9)
    assert not is_reached(achievement("charisma", 1), everything)


@pytest.mark.rule("player-accuracy")
@pytest.mark.parametrize(
    ("correct", "answered", "percent", "reached"),
    [
        (12, 15, 80, True),
        (12, 15, 81, False),
        (11, 15, 80, False),
        (0, 0, 1, False),
        (1, 1, 100, True),
        # As floats these two are the same number.
        (10**17 - 1, 10**17, 100, False),
    ],
)
def test_accuracy_is_compared_in_integers(
    correct: int, answered: int, percent: int, reached: bool
) -> None:
    result = is_reached(
        achievement("accuracy", percent), standing(correct=correct, answered=answered)
    )
    assert result is reached


@pytest.mark.rule("player-achievements")
def test_an_achievement_lifts_the_level_and_unlocks_the_next_one_in_the_same_run() -> None:
    # 1600 xp with the reward are level 5, whose own xp does not reach level 6.
    settlement = settle(
        standing(level=4, xp=1100, sessions=1),
        [achievement("level", 5), achievement("sessions", 1, xp=500)],
    )
    assert [each.id for each in settlement.unlocked] == ["sessions_1", "level_5"]
    assert settlement.level_up is not None
    assert (settlement.level_up.previous_level, settlement.level_up.level) == (4, 5)


@pytest.mark.rule("player-achievements")
def test_nothing_reached_settles_nothing() -> None:
    settlement = settle(standing(), [achievement("level", 5)])
    assert settlement.unlocked == ()
    assert settlement.level_up is None


@pytest.mark.rule("player-achievements")
def test_an_achievement_without_a_reward_still_has_its_row_in_the_ledger() -> None:
    row = entry(achievement("level", 5, name="novice"))
    assert (row.kind, row.key, row.xp, row.coins) == ("achievement", "novice", 0, 0)


@pytest.mark.rule("player-achievements")
@given(
    xp=st.integers(min_value=0, max_value=10**6),
    sessions=st.integers(min_value=0, max_value=20),
    rewards=st.lists(
        st.tuples(
            st.sampled_from(["level", "experience", "sessions"]),
            st.integers(min_value=1, max_value=5000),
            st.integers(min_value=0, max_value=2000),
        ),
        max_size=10,
    ),
)
def test_settling_reaches_a_fixpoint_and_counts_every_reward_once(
    xp: int, sessions: int, rewards: list[tuple[str, int, int]]
) -> None:
    level = levels.level_for(xp)
    locked = [
        achievement(type_, threshold, xp=reward, name=str(number))
        for number, (type_, threshold, reward) in enumerate(rewards)
    ]
    settlement = settle(standing(level=level, xp=xp, sessions=sessions), locked)
    after_xp = xp + sum(each.reward.xp for each in settlement.unlocked)
    if settlement.level_up is not None:
        after_xp += settlement.level_up.xp
        level = settlement.level_up.level
    assert len({each.id for each in settlement.unlocked}) == len(settlement.unlocked)
    remaining = [each for each in locked if each not in settlement.unlocked]
    again = settle(standing(level=level, xp=after_xp, sessions=sessions), remaining)
    assert again.unlocked == ()
    assert levels.settle(after_xp, level) is None
