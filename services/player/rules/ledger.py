"""What an entry of the ledger may be: earned within a cap, spent, taken back."""

from __future__ import annotations

from services.player.models import Amounts, Earning, Entry


def earned_xp(earning: Earning, score: int = 0) -> int:
    """The xp of one more event today; `score` counts for an event that gives what was scored."""
    xp = score if earning.xp is None else earning.xp
    if earning.daily_cap is None:
        return xp
    return max(0, min(xp, earning.daily_cap - earning.earned_today))


def shortage(balance: Amounts, asked: Amounts) -> str | None:
    """The first balance that does not hold what is asked of it; None when all do."""
    for name in Amounts.__struct_fields__:
        if getattr(balance, name) < getattr(asked, name):
            return name
    return None


def revocable(balance: Amounts, asked: Amounts) -> Amounts:
    """What can be taken of what is asked: to zero at most."""
    return Amounts(
        xp=min(balance.xp, asked.xp),
        coins=min(balance.coins, asked.coins),
        skill_points=min(balance.skill_points, asked.skill_points),
    )


def difference(asked: Amounts, taken: Amounts) -> Amounts:
    """What is left of `asked`."""
    return Amounts(
        xp=asked.xp - taken.xp,
        coins=asked.coins - taken.coins,
        skill_points=asked.skill_points - taken.skill_points,
    )


def same_amounts(one: Entry, other: Entry) -> bool:
    """Whether two entries move the same; their words may differ."""
    return _moved(one) == _moved(other)


def _moved(entry: Entry) -> tuple[object, ...]:
    return (entry.xp, entry.coins, entry.skill_points, entry.streak_freezes, entry.items)
