"""Which achievements a player has reached, and the levels that their rewards give."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from services.player.models import Entry, Totals
from services.player.rules import levels
from shared.messages.player import Achievement, LevelUp


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """All that achievements are judged by."""

    level: int
    xp: int
    streak: int
    totals: Totals = Totals()


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What a player has reached, in the order it follows from one another."""

    unlocked: tuple[Achievement, ...]
    level_up: LevelUp | None


def is_reached(achievement: Achievement, standing: Standing) -> bool:
    """Whether the criterion is met; one of an unknown type never is."""
    totals = standing.totals
    match achievement.type:
        case "level":
            return standing.level >= achievement.threshold
        case "experience":
            return standing.xp >= achievement.threshold
        case "sessions":
            return totals.sessions >= achievement.threshold
        case "streak":
            return standing.streak >= achievement.threshold
        case "accuracy":
            # correct / answered >= threshold / 100 without a division.
            return totals.answered > 0 and totals.correct * 100 >= (
                achievement.threshold * totals.answered
            )
        case _:
            return False


def settle(standing: Standing, locked: Iterable[Achievement]) -> Settlement:
    """Everything that unlocks among `locked`, to the fixpoint of levels and achievements.

    Each round unlocks something or is the last, so there are no more rounds than achievements.
    """
    remaining: list[Achievement] = list(locked)
    unlocked: list[Achievement] = []
    xp, level = standing.xp, standing.level
    while reached := _reached(remaining, replace(standing, xp=xp, level=level)):
        unlocked += reached
        remaining = [each for each in remaining if each not in reached]
        xp += sum(each.reward.xp for each in reached)
        if (gained := levels.settle(xp, level)) is not None:
            xp, level = xp + gained.xp, gained.level
    given_xp = sum(each.reward.xp for each in unlocked)
    return Settlement(
        unlocked=tuple(unlocked),
        level_up=levels.settle(standing.xp + given_xp, standing.level) if unlocked else None,
    )


def _reached(locked: list[Achievement], standing: Standing) -> list[Achievement]:
    return [each for each in locked if is_reached(each, standing)]


def entry(achievement: Achievement) -> Entry:
    """The achievement's row of the ledger, also where it gives nothing."""
    reward = achievement.reward
    return Entry(
        kind="achievement",
        key=achievement.id,
        reason=f"achievement {achievement.name}",
        xp=reward.xp,
        coins=reward.coins,
        skill_points=reward.skill_points,
        items=reward.items,
    )
