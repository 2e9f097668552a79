"""What the player service answers to commands and queries."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from shared.messages.base import Message
from shared.messages.player.requests import AchievementReward


class Player(Message, frozen=True, kw_only=True):
    """Who a player is."""

    id: UUID
    external_id: str | None
    email: str | None
    timezone: str
    is_active: bool
    last_login: datetime | None
    created_at: datetime


class Progress(Message, frozen=True, kw_only=True):
    """Where a player stands: balances, streak, and statistics as of the last run."""

    player_id: UUID
    xp: int
    level: int
    """Settled by the player's runs, and never lowered; `xp` may be ahead of it until the next."""
    coins: int
    skill_points: int
    streak_current: int
    streak_best: int
    streak_freezes: int
    xp_to_next_level: int
    percent_to_next_level: int
    sessions_completed: int
    answered: int
    correct: int
    accuracy_percent: int
    best_streak: int
    play_seconds: int
    average_score: int


class Revoked(Message, frozen=True, kw_only=True):
    """What was really taken; the shortfall is kept with the grant."""

    progress: Progress
    xp: int
    coins: int
    skill_points: int


class Item(Message, frozen=True, kw_only=True):
    """So many of one thing."""

    item: str
    quantity: int


class UnlockedAchievement(Message, frozen=True, kw_only=True):
    """An achievement a player has."""

    id: str
    name: str
    unlocked_at: datetime


class Inventory(Message, frozen=True, kw_only=True):
    """What a player has besides balances."""

    items: tuple[Item, ...]
    features: tuple[str, ...]
    achievements: tuple[UnlockedAchievement, ...]


class XpEntry(Message, frozen=True, kw_only=True):
    """A row of the ledger that moved xp."""

    id: int
    amount: int
    reason: str
    at: datetime
    coins: int
    skill_points: int


class XpHistory(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    entries: tuple[XpEntry, ...]
    next_cursor: int | None = None


class Notification(Message, frozen=True, kw_only=True):
    """`level_up` (data: LevelUp) or `achievement_unlocked` (data: achievementId, name, reward)."""

    id: int
    type: str
    data: msgspec.Raw
    created_at: datetime
    acknowledged_at: datetime | None


class Notifications(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    notifications: tuple[Notification, ...]
    next_cursor: int | None = None


class Session(Message, frozen=True, kw_only=True):
    """A game session as far as it is known."""

    id: UUID
    player_id: UUID | None
    status: str
    difficulty: str
    started_at: datetime
    ended_at: datetime | None
    score: int
    correct: int
    answered: int
    best_streak: int


class Sessions(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    sessions: tuple[Session, ...]
    next_cursor: int | None = None


class Achievement(Message, frozen=True, kw_only=True):
    """An achievement of the catalogue; a type this build does not know is never reached."""

    id: str
    name: str
    type: str
    threshold: int
    reward: AchievementReward
    hidden: bool
    active: bool


class Achievements(Message, frozen=True, kw_only=True):
    """The catalogue."""

    achievements: tuple[Achievement, ...]
