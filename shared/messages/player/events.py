"""Facts that the player service publishes, on `events.player.<name>`."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from shared.messages.events import Event


class DailyRewardClaimed(Event, frozen=True, kw_only=True):
    """A player got the reward of a day."""

    name = "daily_reward_claimed"

    player_id: UUID
    reward_day: date
    xp: int
    coins: int
    streak: int


class LevelReached(Event, frozen=True, kw_only=True):
    """A player's level rose."""

    name = "level_reached"

    player_id: UUID
    previous_level: int
    level: int


class AchievementUnlocked(Event, frozen=True, kw_only=True):
    """A player has an achievement from now on."""

    name = "achievement_unlocked"

    player_id: UUID
    achievement_id: str


class CatalogueChanged(Event, frozen=True, kw_only=True):
    """An achievement was added to the catalogue, or is another."""

    name = "catalogue_changed"

    achievement_id: str


class PlayerLoggedIn(Event, frozen=True, kw_only=True):
    """A player came in."""

    name = "player_logged_in"

    player_id: UUID


class SessionCompleted(Event, frozen=True, kw_only=True):
    """A player ended a session."""

    name = "session_completed"

    player_id: UUID
    session_id: UUID
    score: int
