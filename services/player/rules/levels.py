"""The level curve, and what each level gained gives."""

from __future__ import annotations

from math import isqrt

from services.player.models import Entry
from shared.messages.player import LevelUp

XP_PER_LEVEL = 100
COINS_PER_LEVEL = 20
SKILL_POINTS_PER_LEVEL = 1


def xp_for(level: int) -> int:
    """The xp at which `level` begins."""
    return 100 * (level - 1) ** 2


def level_for(xp: int) -> int:
    """The level that `xp` is worth. Integers only: a float errs at the edge of a level."""
    return isqrt(xp // 100) + 1


def xp_to_next(xp: int, level: int) -> int:
    """The xp still missing for the level after `level`."""
    return max(0, xp_for(level + 1) - xp)


def percent_to_next(xp: int, level: int) -> int:
    """How far along `level` is, 0 to 100, rounded down."""
    start, end = xp_for(level), xp_for(level + 1)
    return min(100, max(0, (xp - start) * 100 // (end - start)))


def settle(xp: int, level: int) -> LevelUp | None:
    """All levels gained from stored `level`, None for none; the level never falls.

    Each level's own xp can raise the level again, hence to the fixpoint.
    """
    reached = max(level, level_for(xp))
    while (higher := level_for(xp + XP_PER_LEVEL * (reached - level))) > reached:
        reached = higher
    gained = reached - level
    if gained == 0:
        return None
    return LevelUp(
        previous_level=level,
        level=reached,
        xp=XP_PER_LEVEL * gained,
        coins=COINS_PER_LEVEL * gained,
        skill_points=SKILL_POINTS_PER_LEVEL * gained,
    )


def entries(level_up: LevelUp) -> list[Entry]:
    """One row of the ledger for each level, so that none is ever paid twice."""
    return [
        Entry(
            kind="level",
            key=str(level),
            reason=f"level {level}",
            xp=XP_PER_LEVEL,
            coins=COINS_PER_LEVEL,
            skill_points=SKILL_POINTS_PER_LEVEL,
        )
        for level in range(level_up.previous_level + 1, level_up.level + 1)
    ]
