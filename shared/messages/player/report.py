"""What a player's run did: its output, step by step."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from shared.messages.base import Message


class DailyReward(Message, frozen=True, kw_only=True):
    """The reward of one reward day."""

    reward_day: date
    xp: int
    coins: int
    streak: int
    """Days in a row, this one included."""
    freezes_spent: int = 0


class LevelUp(Message, frozen=True, kw_only=True):
    """Levels gained at once, with all they gave."""

    previous_level: int
    level: int
    xp: int
    coins: int
    skill_points: int
    features: tuple[str, ...] = ()


class Achieved(Message, frozen=True, kw_only=True):
    """Achievements unlocked, and the levels their xp gave."""

    achievements: tuple[str, ...]
    level_up: LevelUp | None = None


class Statistics(Message, frozen=True, kw_only=True):
    """Balances and lifetime counters, once all completed sessions are counted."""

    player_id: UUID
    level: int
    xp: int
    coins: int
    skill_points: int
    sessions_completed: int
    answered: int
    correct: int
    best_streak: int
    play_seconds: int
    score_sum: int
    sessions_folded: int
    """How many of them this run counted."""


class Cleaned(Message, frozen=True, kw_only=True):
    """Rows deleted."""

    sessions: int
    messages: int
    event_logs: int
    guest_sessions: int


class PlayerReport(Message, frozen=True, kw_only=True):
    """Output of a player's run."""

    player_id: UUID
    level: int
    xp: int
    coins: int
    skill_points: int
    daily_reward: DailyReward | None
    level_ups: tuple[LevelUp, ...]
    achievements: tuple[str, ...]
    sessions_folded: int
    cleaned: Cleaned | None
    """None when the cleanup failed, which undoes nothing else."""
