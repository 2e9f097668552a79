"""Each invariant of players is told when it is broken, and only then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.player.store import INVARIANTS
from shared.messages.base import Message
from shared.messages.player import Grant, Revoke, Spend
from shared.postgres.invariants import InvariantStore
from tests.integration.player.game import Game

BREAKING = {
    "balances_are_the_sums_of_grants": "UPDATE player_progress SET skill_points = skill_points + 1",
    "a_level_is_the_highest_that_was_granted": "UPDATE player_progress SET level = level + 1",
    "no_level_is_above_its_xp": "UPDATE player_grants SET source_key = '90' WHERE source_key = '2'",
    "items_are_those_that_were_granted": "UPDATE player_items SET quantity = quantity + 1",
    "a_reward_day_has_its_one_grant": "UPDATE daily_rewards SET coins_gained = coins_gained + 1",
    "the_last_reward_day_is_the_latest": "UPDATE player_progress SET last_reward_day = NULL",
}


async def broken(game: Game) -> set[str]:
    async with game.pool.acquire() as connection:
        return set((await InvariantStore(connection, INVARIANTS).broken(game.clock.now())).counts)


async def play(game: Game) -> None:
    """Days of rewards, levels, items, and balances that are spent and taken back."""
    player_id = await game.player(xp=290)
    await game.player(xp=1000, level=5)
    await game.player(level=7)
    await game.player()
    for days in (0, 1, 4):
        game.clock.advance(timedelta(days=days))
        await game.run(player_id)
    given: dict[str, Any] = {"player_id": player_id, "reason": "test"}
    await game.do(
        Message,
        "grant",
        Grant(**given, key="g", xp=50_000, coins=9, streak_freezes=2, items=("ring", "ring")),
    )
    game.clock.advance(timedelta(days=2))
    await game.run(player_id)
    await game.do(Message, "spend", Spend(**given, key="s", coins=3))
    await game.do(Message, "revoke", Revoke(**given, key="r", xp=10**9))


@pytest.mark.rule("maintenance-invariants")
async def test_play_breaks_nothing(game: Game) -> None:
    assert await broken(game) == set()
    await play(game)
    assert await broken(game) == set()


@pytest.mark.rule("maintenance-invariants")
@pytest.mark.parametrize("invariant", INVARIANTS)
async def test_what_breaks_an_invariant_is_told(game: Game, invariant: str) -> None:
    await play(game)
    await game.pool.execute(BREAKING[invariant])
    assert invariant in await broken(game)
