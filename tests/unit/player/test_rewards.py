"""The daily reward and the day it is for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.player.models import Streak
from services.player.rules.rewards import claim, reward_day
from shared.workflow.errors import NonRetryableError
from shared.workflow.zones import known_zones

BASE_XP = 10
FIRST = date(2026, 3, 1)


@pytest.mark.rule("player-daily-reward")
@pytest.mark.parametrize(
    ("before", "xp", "coins"),
    [(0, 10, 5), (1, 12, 6), (6, 22, 11), (24, 58, 29), (25, 60, 30), (400, 60, 30)],
)
def test_a_reward_grows_with_the_streak_before_it(before: int, xp: int, coins: int) -> None:
    streak = Streak(current=before, best=before, last_reward_day=FIRST)
    claimed = claim(streak, FIRST + timedelta(days=1), BASE_XP)
    assert claimed is not None
    assert (claimed.reward.xp, claimed.reward.coins) == (xp, coins)
    assert claimed.reward.streak == before + 1
    assert claimed.streak.best == before + 1


@pytest.mark.rule("player-daily-reward")
def test_thirty_unbroken_days_give_1150_xp_and_575_coins() -> None:
    streak, xp, coins = Streak(), 0, 0
    for day in range(30):
        claimed = claim(streak, FIRST + timedelta(days=day), BASE_XP)
        assert claimed is not None
        streak, xp, coins = claimed.streak, xp + claimed.reward.xp, coins + claimed.reward.coins
    assert (xp, coins, streak.current) == (1150, 575, 30)


@pytest.mark.rule("player-gap")
def test_a_day_is_claimed_once() -> None:
    assert claim(Streak(current=3, best=3, last_reward_day=FIRST), FIRST, BASE_XP) is None


@pytest.mark.rule("player-gap")
def test_a_missed_day_restarts_the_streak() -> None:
    streak, rewards = Streak(), list[tuple[int, int]]()
    for day in (1, 2, 4):
        claimed = claim(streak, date(2026, 3, day), BASE_XP)
        assert claimed is not None
        streak = claimed.streak
        rewards.append((claimed.reward.streak, claimed.reward.xp))
    assert rewards == [(1, 10), (2, 12), (1, 10)]
    assert streak.best == 2


@pytest.mark.rule("player-gap")
@pytest.mark.parametrize(
    ("gap_days", "freezes", "streak_after", "freezes_after"),
    [(1, 2, 6, 2), (2, 2, 6, 1), (3, 2, 6, 0), (4, 2, 1, 2), (2, 0, 1, 0)],
)
def test_freezes_bridge_missed_days_where_there_are_enough(
    gap_days: int, freezes: int, streak_after: int, freezes_after: int
) -> None:
    streak = Streak(current=5, best=5, freezes=freezes, last_reward_day=FIRST)
    claimed = claim(streak, FIRST + timedelta(days=gap_days), BASE_XP)
    assert claimed is not None
    assert claimed.streak.current == streak_after
    assert claimed.streak.freezes == freezes_after
    assert claimed.entry.streak_freezes == freezes_after - freezes


@pytest.mark.rule("player-gap")
def test_a_day_before_the_last_one_is_refused() -> None:
    streak = Streak(current=5, best=5, last_reward_day=FIRST)
    with pytest.raises(NonRetryableError) as refused:
        claim(streak, FIRST - timedelta(days=1), BASE_XP)
    assert refused.value.code == "day_in_past"


@pytest.mark.rule("player-reward-day")
@pytest.mark.parametrize(
    ("now", "timezone", "reset_hour", "day"),
    [
        ("2026-03-01T23:59:59+00:00", "UTC", 0, "2026-03-01"),
        ("2026-03-02T00:00:00+00:00", "UTC", 0, "2026-03-02"),
        ("2026-03-01T12:00:00+00:00", "Pacific/Auckland", 0, "2026-03-02"),
        ("2026-03-02T04:59:00+00:00", "America/New_York", 0, "2026-03-01"),
        ("2026-03-02T05:00:00+00:00", "America/New_York", 0, "2026-03-02"),
        ("2026-03-02T03:59:00+00:00", "UTC", 4, "2026-03-01"),
        ("2026-03-02T04:00:00+00:00", "UTC", 4, "2026-03-02"),
        # The night in which 02:00 does not exist, and the one in which it comes twice.
        ("2026-03-08T07:30:00+00:00", "America/New_York", 4, "2026-03-07"),
        ("2026-11-01T05:30:00+00:00", "America/New_York", 0, "2026-11-01"),
    ],
)
def test_a_reward_day_is_the_players_date_wherever_the_service_runs(
    host_zone: str, now: str, timezone: str, reset_hour: int, day: str
) -> None:
    assert reward_day(datetime.fromisoformat(now), timezone, reset_hour) == date.fromisoformat(day)


@pytest.mark.rule("player-reward-day")
@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Pacific/Auckland", date(2026, 9, 27), 23),
        ("Pacific/Auckland", date(2026, 4, 5), 25),
    ],
)
def test_a_day_of_23_or_25_hours_gives_one_claim(
    host_zone: str, timezone: str, day: date, hours: int
) -> None:
    zone = ZoneInfo(timezone)
    start = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    streak = Streak(current=1, best=1, last_reward_day=day - timedelta(days=1))
    claims = 0
    for half_hour in range(hours * 2):
        now = start + timedelta(minutes=30 * half_hour)
        assert reward_day(now, timezone) == day
        claimed = claim(streak, reward_day(now, timezone), BASE_XP)
        if claimed is not None:
            claims, streak = claims + 1, claimed.streak
    assert claims == 1
    assert reward_day(start + timedelta(hours=hours), timezone) == day + timedelta(days=1)


@pytest.mark.rule("player-reward-day")
@given(
    instants=st.lists(
        st.datetimes(
            min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
            max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone itself
            timezones=st.just(UTC),
        ),
        max_size=20,
    ),
    timezone=st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu"]),
    reset_hour=st.integers(min_value=0, max_value=23),
)
def test_reward_days_of_one_zone_never_go_back(
    instants: list[datetime], timezone: str, reset_hour: int
) -> None:
    days = [reward_day(now, timezone, reset_hour) for now in sorted(instants)]
    assert days == sorted(days)


def test_zones_are_those_of_the_pinned_data() -> None:
    assert {"UTC", "Europe/Berlin", "Pacific/Auckland"} <= known_zones()
    assert not {"", "localtime", "../etc/passwd", "Mars/Olympus"} & known_zones()
