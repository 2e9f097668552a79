"""Rows as messages."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.messages.player import Achievement, AchievementReward, Player, Session


def achievement(row: Any) -> Achievement:
    """A row of `achievements`, its reward as text."""
    return Achievement(
        id=row["id"],
        name=row["name"],
        type=row["type"],
        threshold=row["threshold"],
        reward=msgspec.json.decode(row["reward"], type=AchievementReward),
        hidden=row["hidden"],
        active=row["active"],
    )


def player(row: Any) -> Player:
    """A row of `players`."""
    return Player(
        id=row["uuid"],
        external_id=row["external_id"],
        email=row["email"],
        timezone=row["tz"],
        is_active=row["is_active"],
        last_login=row["last_login"],
        created_at=row["created_at"],
    )


def session(row: Any) -> Session:
    """A row of `game_sessions`."""
    return Session(
        id=row["id"],
        player_id=row["player_uuid"],
        status=row["status"],
        difficulty=row["difficulty"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        score=row["score"],
        correct=row["correct"],
        answered=row["answered"],
        best_streak=row["best_streak"],
    )
