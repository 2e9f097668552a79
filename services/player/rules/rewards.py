"""The daily reward: which day it is for a player, and what that day gives."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from services.player.models import Entry, Streak
from shared.messages.player import DailyReward
from shared.workflow.errors import NonRetryableError

BONUS_XP_PER_DAY = 2
LARGEST_BONUS_XP = 50


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A reward, and the streak as it leaves it."""

    reward: DailyReward
    streak: Streak

    @property
    def entry(self) -> Entry:
        """Its row of the ledger."""
        return Entry(
            kind="daily_reward",
            key=self.reward.reward_day.isoformat(),
            reason=f"daily reward, day {self.reward.streak} in a row",
            xp=self.reward.xp,
            coins=self.reward.coins,
            streak_freezes=-self.reward.freezes_spent,
        )


def reward_day(now: datetime, timezone: str, reset_hour: int = 0) -> date:
    """The player's calendar date, where a day begins at `reset_hour` on the wall clock."""
    # Without its zone a local time is subtracted from on the wall clock: a day of 23 or 25 hours
    # is one day all the same.
    local = now.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return (local - timedelta(hours=reset_hour)).date()


def claim(streak: Streak, day: date, base_xp: int) -> Claim | None:
    """The reward of `day`; None when it has been claimed.

    Raises NonRetryableError `day_in_past` for a day before the last one, as after a move to
    another time zone: it comes again by itself.
    """
    freezes_spent = 0
    before = streak.current
    if streak.last_reward_day is not None:
        gap_days = (day - streak.last_reward_day).days
        if gap_days == 0:
            return None
        if gap_days < 0:
            raise NonRetryableError(
                "day_in_past", f"{day} is before {streak.last_reward_day}, the last reward day"
            )
        missed_days = gap_days - 1
        if missed_days <= streak.freezes:
            freezes_spent = missed_days
        else:
            before = 0
    return _claim(streak, day, base_xp, before, freezes_spent)


def _claim(streak: Streak, day: date, base_xp: int, before: int, freezes_spent: int) -> Claim:
    xp = base_xp + min(BONUS_XP_PER_DAY * before, LARGEST_BONUS_XP)
    return Claim(
        reward=DailyReward(
            reward_day=day,
            xp=xp,
            coins=xp // 2,
            streak=before + 1,
            freezes_spent=freezes_spent,
        ),
        streak=Streak(
            current=before + 1,
            best=max(streak.best, before + 1),
            freezes=streak.freezes - freezes_spent,
            last_reward_day=day,
        ),
    )
