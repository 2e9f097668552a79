"""A player's run that fails, is refused, is repeated, or meets others of its kind."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from services.player.rules.retention import Cutoffs
from services.player.store import PlayerStore
from services.player.workflows.player import PlayerWorkflow
from shared.messages.player import (
    Cleaned,
    Player,
    PlayerReport,
    Statistics,
    UpdatePlayer,
)
from shared.messages.workflows import StartPlayer, Status
from tests.integration.player.game import Game

DAY = timedelta(days=1)


@pytest.mark.rule("player-gap", "player-step-failure")
async def test_a_day_in_the_past_changes_no_reward_and_the_other_steps_go_on(game: Game) -> None:
    player_id = await game.player(timezone="Pacific/Auckland")
    await game.run(player_id)
    before = await game.progress(player_id)
    move = UpdatePlayer(player_id=player_id, timezone="America/Los_Angeles")
    await game.do(Player, "update_player", move)
    # It is Tuesday in Auckland and Monday in Los Angeles.

    status = await game.run(player_id)

    assert status.status is Status.COMPLETE
    assert status.completed_steps == ("stats_update", "cleanup")
    assert [(error.step, error.name) for error in status.errors] == [
        ("daily_rewards", "day_in_past")
    ]
    assert await game.progress(player_id) == before
    assert await game.count("daily_rewards", player_id) == 1


@pytest.mark.rule("player-unknown-player")
async def test_a_run_about_nobody_ends_errored_at_the_first_attempt(game: Game) -> None:
    status = await game.run(uuid4())
    assert status.status is Status.ERRORED
    assert status.error is not None
    assert (status.error.name, status.error.step) == ("player_not_found", "daily_rewards")
    assert [step.attempts for step in status.steps] == [1]
    assert status.completed_steps == ()


@pytest.mark.rule("player-inactive-guests")
async def test_a_run_of_an_inactive_player_ends_errored(game: Game) -> None:
    player_id = await game.player()
    await game.do(Player, "update_player", UpdatePlayer(player_id=player_id, is_active=False))
    status = await game.run(player_id)
    assert status.status is Status.ERRORED
    assert status.error is not None
    assert status.error.name == "player_inactive"
    assert await game.count("daily_rewards", player_id) == 0


class WithoutCleanup(PlayerStore):
    """A store whose cleanup always fails."""

    async def clean(self, cutoffs: Cutoffs, guest_batch: int) -> Cleaned:
        raise RuntimeError("no cleanup today")


@pytest.mark.rule("player-step-failure")
async def test_a_cleanup_failure_ends_the_run_complete_and_undoes_nothing(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)
    rig = game.with_workflow(PlayerWorkflow(WithoutCleanup))

    status = await game.run_on(rig, player_id)

    assert status.status is Status.COMPLETE
    assert status.completed_steps == (
        "daily_rewards",
        "level_progression",
        "achievements",
        "stats_update",
    )
    assert [(error.step, error.message) for error in status.errors] == [
        ("cleanup", "no cleanup today")
    ]
    assert {step.name: step.attempts for step in status.steps}["cleanup"] == 3
    assert msgspec.json.decode(status.output, type=PlayerReport).cleaned is None
    progress = await game.progress(player_id)
    assert (progress.xp, progress.level) == (2710, 6)


class ForgetfulStore(PlayerStore):
    """A store whose statistics fail at first."""

    failures = 1

    async def fold_sessions(self, at: datetime) -> Statistics | None:
        if ForgetfulStore.failures > 0:
            ForgetfulStore.failures -= 1
            raise RuntimeError("try again")
        return await super().fold_sessions(at)


@pytest.mark.rule("player-step-failure")
async def test_a_finished_step_is_not_run_again_when_a_later_one_is_retried(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)
    status = await game.run_on(game.with_workflow(PlayerWorkflow(ForgetfulStore)), player_id)
    assert status.status is Status.COMPLETE
    attempts = {step.name: step.attempts for step in status.steps}
    assert attempts["daily_rewards"] == 1
    assert attempts["stats_update"] > 1
    assert await game.count("daily_rewards", player_id) == 1
    assert (await game.progress(player_id)).xp == 2710


@pytest.mark.rule("player-concurrency")
async def test_twenty_concurrent_triggers_give_one_daily_reward(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)

    statuses = await asyncio.gather(*(game.run(player_id) for _ in range(20)))

    assert {status.status for status in statuses} == {Status.COMPLETE}
    rewarded = [each for each in statuses if "daily_rewards" in each.completed_steps]
    assert len(rewarded) == 1
    assert await game.count("daily_rewards", player_id) == 1
    progress = await game.progress(player_id)
    assert (progress.xp, progress.level, progress.coins) == (2710, 6, 45)
    assert await game.count("notifications", player_id, "type = 'level_up'") == 1
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-kill", "player-step-failure")
async def test_ten_redeliveries_leave_one_reward_one_grant_and_one_notification(
    game: Game,
) -> None:
    player_id = await game.player(xp=2500, level=4)
    start = StartPlayer(id="once", player_id=player_id)
    await game.rig.start(start)
    for attempt in range(2, 12):
        await game.rig.start(start, attempt=attempt)
    assert await game.count("daily_rewards", player_id) == 1
    assert await game.count("player_grants", player_id, "source_kind = 'daily_reward'") == 1
    assert await game.count("notifications", player_id, "type = 'level_up'") == 1
    assert (await game.progress(player_id)).xp == 2710
    await game.assert_ledger_agrees(player_id)
