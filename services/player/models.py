"""The service's own values, as its store reads and its rules decide them."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec


class Streak(msgspec.Struct, frozen=True, kw_only=True):
    """Reward days in a row."""

    current: int = 0
    best: int = 0
    freezes: int = 0
    """Each bridges one day without a reward."""
    last_reward_day: date | None = None


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of the three balances."""

    xp: int = 0
    coins: int = 0
    skill_points: int = 0


class PlayerState(msgspec.Struct, frozen=True, kw_only=True):
    """A player whose progress is locked until the transaction ends."""

    id: UUID
    is_active: bool
    timezone: str
    level: int
    balance: Amounts
    streak: Streak
    daily_base_xp: int
    held_by: str | None = None
    """The erasure for which nothing new is begun."""
    is_erased: bool = False


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Over all completed sessions, counted in the statistics or not yet."""

    sessions: int = 0
    answered: int = 0
    correct: int = 0


class Earning(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is worth to a player today."""

    xp: int | None
    """None: as scored."""
    daily_cap: int | None
    """None: no cap."""
    earned_today: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the ledger: what one source gave, or took, once."""

    kind: str
    key: str
    reason: str
    xp: int = 0
    coins: int = 0
    skill_points: int = 0
    streak_freezes: int = 0
    items: tuple[str, ...] = ()
    day: date | None = None
    """The player's reward day, of an entry that counts towards a daily cap."""
    shortfall: Amounts | None = None
    """What a revoke could not take."""
