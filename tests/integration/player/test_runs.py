"""A player's run, from its start to its report, on the engine and PostgreSQL."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from services.player.handlers import facts
from services.player.workflows.player import PlayerWorkflow
from shared.messages.player import (
    Achievement,
    AchievementReward,
    CreateAchievement,
    Grant,
    LevelUp,
    LoggedIn,
    Notifications,
    PageOfPlayer,
    PlayerReport,
    Progress,
    Session,
    SessionReported,
    UpdateAchievement,
)
from shared.messages.workflows import Status
from shared.runtime.handling import Work
from shared.testing.memory_delivery import MemoryPublisher
from tests.integration.player.game import Game

DAY = timedelta(days=1)


async def notifications(game: Game, player_id: UUID) -> list[tuple[str, dict[str, object]]]:
    page = await game.ask(
        Notifications, "notifications", PageOfPlayer(player_id=player_id, limit=100)
    )
    return [(each.type, msgspec.json.decode(each.data)) for each in page.notifications]


@pytest.mark.rule("player-level-up", "player-daily-reward")
async def test_level_4_with_2500_xp_ends_at_2710_xp_and_level_6(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)

    status = await game.run(player_id)

    assert status.status is Status.COMPLETE
    assert status.completed_steps == (
        "daily_rewards",
        "level_progression",
        "achievements",
        "stats_update",
        "cleanup",
    )
    report = msgspec.json.decode(status.output, type=PlayerReport)
    assert (report.xp, report.level, report.coins, report.skill_points) == (2710, 6, 45, 2)
    assert report.achievements == ("novice",)
    progress = await game.progress(player_id)
    assert (progress.xp, progress.level, progress.coins) == (2710, 6, 45)
    assert await game.xp_reasons(player_id) == [
        ("opening balance", 2500),
        ("daily reward, day 1 in a row", 10),
        ("level 5", 100),
        ("level 6", 100),
    ]
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-level-up", "player-notifications")
@pytest.mark.parametrize(
    ("level", "xp", "end_xp", "end_level"),
    [(1, 290, 500, 3), (1, 289, 399, 2), (1, 9190, 10200, 11), (4, 2490, 2700, 6)],
)
async def test_levels_settle_in_one_run_with_one_notification(
    game: Game, level: int, xp: int, end_xp: int, end_level: int
) -> None:
    # With the ten xp of the day's reward these are the specification's numbers.
    player_id = await game.player(xp=xp, level=level)

    report = await game.report(player_id)

    gained = end_level - level
    assert (report.xp, report.level) == (end_xp, end_level)
    told = [data for type_, data in await notifications(game, player_id) if type_ == "level_up"]
    assert len(told) == 1
    level_up = msgspec.convert(told[0], LevelUp)
    assert level_up == report.level_ups[0]
    assert (level_up.previous_level, level_up.level, level_up.xp) == (
        level,
        end_level,
        end_xp - xp - 10,
    )
    assert (level_up.coins, level_up.skill_points) == (20 * gained, gained)
    assert await game.count("player_grants", player_id, "source_kind = 'level'") == gained


@pytest.mark.rule("player-level-up")
async def test_levels_1_to_6_unlock_the_features_of_2_to_6(game: Game) -> None:
    player_id = await game.player(xp=2100)
    report = await game.report(player_id)
    assert report.level == 6
    rows = await game.fetch(
        "SELECT level, feature FROM player_unlocks WHERE player_uuid = $1 ORDER BY level",
        player_id,
    )
    assert [row["level"] for row in rows] == [2, 3, 4, 5, 6]
    assert (await game.inventory(player_id)).features == tuple(row["feature"] for row in rows)
    assert report.level_ups[0].features == tuple(row["feature"] for row in rows)


@pytest.mark.rule("player-no-demotion")
async def test_a_level_above_its_xp_stays_and_nothing_is_granted(game: Game) -> None:
    player_id = await game.player(xp=990, level=5)
    status = await game.run(player_id)
    assert "level_progression" not in status.completed_steps
    progress = await game.progress(player_id)
    assert (progress.level, progress.xp) == (5, 1000)
    assert (progress.percent_to_next_level, progress.xp_to_next_level) == (0, 1500)
    assert await game.count("player_grants", player_id, "source_kind = 'level'") == 0


@pytest.mark.rule("player-gap", "player-who-starts-runs")
async def test_a_second_run_of_the_day_gives_nothing_and_says_so(game: Game) -> None:
    player_id = await game.player()
    await game.run(player_id)
    before = await game.progress(player_id)

    status = await game.run(player_id)

    assert status.completed_steps == ("stats_update", "cleanup")
    assert {step.name: step.status for step in status.steps} == {
        "daily_rewards": "skipped",
        "level_progression": "skipped",
        "achievements": "skipped",
        "stats_update": "complete",
        "cleanup": "complete",
    }
    assert await game.progress(player_id) == before


@pytest.mark.rule("player-gap")
async def test_days_1_2_and_4_have_streaks_1_2_and_1(game: Game) -> None:
    player_id = await game.player()
    claimed: list[tuple[int, int]] = []
    for days in (0, 1, 2):
        game.clock.advance(DAY * days)
        reward = (await game.report(player_id)).daily_reward
        assert reward is not None
        claimed.append((reward.streak, reward.xp))
    assert claimed == [(1, 10), (2, 12), (1, 10)]
    progress = await game.progress(player_id)
    assert (progress.streak_current, progress.streak_best) == (1, 2)


@pytest.mark.rule("player-gap")
async def test_freezes_are_spent_from_the_ledger(game: Game) -> None:
    player_id = await game.player()
    request = Grant(player_id=player_id, key="gift", reason="a gift", streak_freezes=2)
    await game.do(Progress, "grant", request)
    await game.run(player_id)
    game.clock.advance(DAY * 3)

    reward = (await game.report(player_id)).daily_reward

    assert reward is not None
    assert (reward.streak, reward.freezes_spent) == (2, 2)
    assert (await game.progress(player_id)).streak_freezes == 0
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-daily-reward", "player-achievements")
async def test_thirty_unbroken_days_give_1150_xp_and_unlock_the_streaks(game: Game) -> None:
    player_id = await game.player()
    for _ in range(30):
        await game.run(player_id)
        game.clock.advance(DAY)
    sums = await game.fetch(
        "SELECT sum(experience_gained) AS xp, sum(coins_gained) AS coins, max(streak) AS streak,"
        " count(DISTINCT created_at) AS instants FROM daily_rewards WHERE player_uuid = $1",
        player_id,
    )
    assert dict(sums[0]) == {"xp": 1150, "coins": 575, "streak": 30, "instants": 30}
    unlocked = {each.id for each in (await game.inventory(player_id)).achievements}
    assert {"week_in_a_row", "month_in_a_row"} <= unlocked
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-achievements", "player-notifications")
async def test_an_achievement_lifts_the_level_and_unlocks_the_next_in_the_same_run(
    game: Game,
) -> None:
    request = CreateAchievement(
        id="first_session",
        name="First session",
        type="sessions",
        threshold=1,
        reward=AchievementReward(xp=500, items=("cup", "cup")),
    )
    await game.do(Achievement, "create_achievement", request)
    # 880 xp and the day's reward are level 3; its own 200 xp make it 4, and 500 more make it 5.
    player_id = await game.player(xp=880)
    session = SessionReported(session_id=uuid4(), player_id=player_id)
    await game.do(Session, "session", session)

    report = await game.report(player_id)

    assert report.achievements == ("first_session", "novice")
    assert [(each.previous_level, each.level) for each in report.level_ups] == [(1, 4), (4, 5)]
    assert (report.level, report.xp) == (5, 880 + 10 + 300 + 500 + 100)
    told = await notifications(game, player_id)
    assert sorted(type_ for type_, _ in told) == [
        "achievement_unlocked",
        "achievement_unlocked",
        "level_up",
    ]
    merged = next(msgspec.convert(data, LevelUp) for type_, data in told if type_ == "level_up")
    assert (merged.previous_level, merged.level, merged.xp, merged.coins) == (1, 5, 400, 80)
    assert merged.skill_points == 4
    assert len(merged.features) == 4
    held = (await game.inventory(player_id)).items
    assert [(each.item, each.quantity) for each in held] == [("cup", 2)]
    await game.assert_ledger_agrees(player_id)


@pytest.mark.rule("player-achievements")
async def test_a_retired_achievement_no_longer_unlocks(game: Game) -> None:
    await game.do(Achievement, "update_achievement", UpdateAchievement(id="novice", active=False))
    player_id = await game.player(xp=2500, level=4)
    assert (await game.report(player_id)).achievements == ()


@pytest.mark.rule("player-achievements")
async def test_a_type_this_build_does_not_know_is_never_reached(game: Game) -> None:
    await game.fetch(
        "INSERT INTO achievements (id, name, type, threshold) VALUES ('charm', 'C', 'charisma', 1)"
    )
    player_id = await game.player(xp=2500, level=4)
    status = await game.run(player_id)
    assert status.status is Status.COMPLETE
    assert await game.count("player_achievements", player_id) == 1


@pytest.mark.rule("player-accuracy")
async def test_accuracy_counts_sessions_that_are_not_in_the_statistics_yet(game: Game) -> None:
    player_id = await game.player()
    session = SessionReported(session_id=uuid4(), player_id=player_id, correct=12, answered=15)
    await game.do(Session, "session", session)
    report = await game.report(player_id)
    assert "sharp" in report.achievements
    assert "precise" not in report.achievements
    progress = await game.progress(player_id)
    assert (progress.correct, progress.answered, progress.accuracy_percent) == (12, 15, 80)


@pytest.mark.rule("player-notifications")
async def test_a_run_publishes_what_happened(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)
    await game.run(player_id)
    publisher = game.rig.publisher
    assert isinstance(publisher, MemoryPublisher)
    assert [message.subject for message in publisher.stored.values()] == [
        "events.player.daily_reward_claimed",
        "events.player.level_reached",
        "events.player.achievement_unlocked",
    ]


@pytest.mark.rule("player-daily-reward")
async def test_every_instant_is_the_workflows_own(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)
    await game.run(player_id)
    for table, column in (
        ("daily_rewards", "created_at"),
        ("player_grants", "created_at"),
        ("player_achievements", "unlocked_at"),
        ("player_unlocks", "unlocked_at"),
        ("notifications", "created_at"),
        ("players", "created_at"),
    ):
        rows = await game.fetch(f"SELECT DISTINCT {column} AS at FROM {table}")
        assert [row["at"] for row in rows] == [game.clock.now()], table


@pytest.mark.rule("player-reward-day")
async def test_the_hour_at_which_a_day_begins_holds_for_runs_and_for_logins(game: Game) -> None:
    player_id = await game.player()
    rig = game.with_workflow(PlayerWorkflow(reset_hour=13))
    status = await game.run_on(rig, player_id)
    reward = msgspec.json.decode(status.output, type=PlayerReport).daily_reward
    assert reward is not None
    # It is noon of March 2, and March 1 lasts an hour longer.
    assert reward.reward_day == date(2026, 3, 1)
    log_in = next(handler for handler in facts(reset_hour=13) if handler.name == "login")
    async with game.pool.acquire() as connection, connection.transaction():
        work = Work(connection, game.clock.now(), "tester", "login-1")
        await log_in.handle(work, LoggedIn(player_id=player_id))
    assert [trigger.id for trigger in work.triggers] == [f"login-{player_id}-2026-03-01"]
