"""The reference's own tests, by name, through HTTP."""

from __future__ import annotations

import pytest

from shared.messages.workflows import Status
from tests.acceptance.game import Game


@pytest.mark.rule("player-daily-reward", "http-start", "http-status")
async def test_should_process_daily_rewards(game: Game) -> None:
    player_id = await game.create_player(opening={"xp": 1000, "level": 5})

    status = await game.run(player_id)

    assert status.status is Status.COMPLETE
    assert "daily_rewards" in status.completed_steps
    progress = await game.progress(player_id)
    assert (progress.xp, progress.coins, progress.streak_current) == (1010, 5, 1)


@pytest.mark.rule("player-level-up", "http-start", "http-status")
async def test_should_handle_level_progression(game: Game) -> None:
    player_id = await game.create_player(opening={"xp": 2500, "level": 4})

    status = await game.run(player_id)

    assert "level_progression" in status.completed_steps
    progress = await game.progress(player_id)
    assert (progress.xp, progress.level) == (2710, 6)


@pytest.mark.rule("player-level-up")
async def test_a_second_run_of_the_day_skips_what_is_done(game: Game) -> None:
    player_id = await game.create_player(opening={"xp": 2500, "level": 4})
    await game.run(player_id)
    before = await game.progress(player_id)

    status = await game.run(player_id)

    assert status.completed_steps == ("stats_update", "cleanup")
    assert [step.status for step in status.steps[:3]] == ["skipped"] * 3
    assert await game.progress(player_id) == before
