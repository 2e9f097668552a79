"""What operators and players ask for."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from shared.messages.base import Message
from shared.messages.player import (
    Achievement,
    AchievementReward,
    Achievements,
    AcknowledgeNotification,
    ByPlayer,
    BySession,
    CreateAchievement,
    CreatePlayer,
    Everything,
    Grant,
    Notification,
    Notifications,
    Opening,
    PageOfPlayer,
    Player,
    Progress,
    Revoke,
    Spend,
    UpdateAchievement,
    UpdatePlayer,
    XpHistory,
)
from shared.messages.problems import Refused
from tests.integration.player.game import Game


async def test_a_player_is_created_with_what_was_brought_along(game: Game) -> None:
    request = CreatePlayer(
        external_id="game-7",
        email="a@example.org",
        timezone="Europe/Berlin",
        opening=Opening(xp=1250, level=4, coins=3, skill_points=2),
    )
    player = await game.do(Player, "create_player", request)
    assert player == Player(
        id=player.id,
        external_id="game-7",
        email="a@example.org",
        timezone="Europe/Berlin",
        is_active=True,
        last_login=None,
        created_at=game.clock.now(),
    )
    assert await game.ask(Player, "player", ByPlayer(player_id=player.id)) == player
    progress = await game.progress(player.id)
    assert (progress.xp, progress.level, progress.coins, progress.skill_points) == (1250, 4, 3, 2)
    assert (progress.xp_to_next_level, progress.percent_to_next_level) == (350, 50)
    await game.assert_ledger_agrees(player.id)


@pytest.mark.parametrize(("second", "field"), [("same", "id"), ("other", "externalId")])
async def test_a_player_is_created_once(game: Game, second: str, field: str) -> None:
    request = CreatePlayer(id=uuid4(), external_id="game-7", opening=Opening(coins=5))
    player = await game.do(Player, "create_player", request)
    repeated = request if second == "same" else msgspec.structs.replace(request, id=uuid4())
    with pytest.raises(Refused) as refused:
        await game.do(Player, "create_player", repeated)
    assert (refused.value.code, refused.value.status) == ("player_exists", 409)
    assert refused.value.field == field
    assert (await game.progress(player.id)).coins == 5


async def test_unknown_time_zones_are_refused(game: Game) -> None:
    with pytest.raises(Refused) as created:
        await game.do(Player, "create_player", CreatePlayer(timezone="Mars/Olympus"))
    request = UpdatePlayer(player_id=await game.player(), timezone="../UTC")
    with pytest.raises(Refused) as updated:
        await game.do(Player, "update_player", request)
    assert created.value.field == updated.value.field == "timezone"


async def test_an_update_changes_what_is_given(game: Game) -> None:
    player_id = await game.player()
    request = UpdatePlayer(player_id=player_id, email="a@example.org", timezone="Asia/Tokyo")
    await game.do(Player, "update_player", request)
    player = await game.do(Player, "update_player", UpdatePlayer(player_id=player_id, email=None))
    assert (player.email, player.timezone, player.is_active) == (None, "Asia/Tokyo", True)


@pytest.mark.rule("player-unknown-player")
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("spend", {"key": "k", "coins": 1}),
        ("grant", {"key": "k", "reason": "r", "coins": 1}),
        ("revoke", {"key": "k", "reason": "r", "coins": 1}),
        ("update_player", {}),
    ],
)
async def test_commands_about_nobody_are_refused(
    game: Game, name: str, fields: dict[str, object]
) -> None:
    requests: dict[str, type[Message]] = {
        "spend": Spend,
        "grant": Grant,
        "revoke": Revoke,
        "update_player": UpdatePlayer,
    }
    request = msgspec.convert({"playerId": str(uuid4()), **fields}, requests[name])
    with pytest.raises(Refused) as refused:
        await game.do(Message, name, request)
    assert (refused.value.code, refused.value.status) == ("player_not_found", 404)
    assert refused.value.field == "playerId"


@pytest.mark.rule("player-unknown-player")
@pytest.mark.parametrize(
    "name", ["player", "progress", "inventory", "xp_history", "notifications", "sessions"]
)
async def test_queries_about_nobody_are_refused(game: Game, name: str) -> None:
    paged = name in {"xp_history", "notifications", "sessions"}
    request = PageOfPlayer(player_id=uuid4()) if paged else ByPlayer(player_id=uuid4())
    with pytest.raises(Refused) as refused:
        await game.ask(Message, name, request)
    assert (refused.value.code, refused.value.status) == ("player_not_found", 404)


async def test_an_unknown_session_is_not_found(game: Game) -> None:
    with pytest.raises(Refused) as refused:
        await game.ask(Message, "session", BySession(session_id=uuid4()))
    assert (refused.value.code, refused.value.status) == ("session_not_found", 404)


async def test_the_xp_history_comes_in_pages_newest_first(game: Game) -> None:
    player_id = await game.player(xp=1)
    for number in range(4):
        request = Grant(
            player_id=player_id, key=str(number), reason=f"gift {number}", xp=number + 1
        )
        await game.do(Progress, "grant", request)
    first = await game.ask(XpHistory, "xp_history", PageOfPlayer(player_id=player_id, limit=3))
    assert [(entry.reason, entry.amount) for entry in first.entries] == [
        ("gift 3", 4),
        ("gift 2", 3),
        ("gift 1", 2),
    ]
    assert first.entries[0].at == game.clock.now()
    request_of_rest = PageOfPlayer(player_id=player_id, limit=3, cursor=first.next_cursor)
    rest = await game.ask(XpHistory, "xp_history", request_of_rest)
    assert [entry.reason for entry in rest.entries] == ["gift 0", "opening balance"]
    assert rest.next_cursor is None


@pytest.mark.rule("player-notifications")
async def test_notifications_are_read_and_acknowledged_by_their_player(game: Game) -> None:
    player_id = await game.player(xp=2500, level=4)
    await game.run(player_id)
    page = PageOfPlayer(player_id=player_id)
    inbox = await game.ask(Notifications, "notifications", page)
    assert [each.type for each in inbox.notifications] == ["achievement_unlocked", "level_up"]
    assert {each.acknowledged_at for each in inbox.notifications} == {None}
    notification_id = inbox.notifications[0].id
    request = AcknowledgeNotification(player_id=player_id, notification_id=notification_id)

    acknowledged = await game.do(Notification, "acknowledge_notification", request)

    assert acknowledged.acknowledged_at == game.clock.now()
    assert await game.do(Notification, "acknowledge_notification", request) == acknowledged
    theirs = AcknowledgeNotification(player_id=await game.player(), notification_id=notification_id)
    with pytest.raises(Refused) as refused:
        await game.do(Notification, "acknowledge_notification", theirs)
    assert (refused.value.code, refused.value.status) == ("notification_not_found", 404)


@pytest.mark.rule("player-achievements")
async def test_the_catalogue_is_seeded_with_every_type(game: Game) -> None:
    catalogue = await game.ask(Achievements, "achievements", Everything())
    by_type: dict[str, list[Achievement]] = {}
    for each in catalogue.achievements:
        by_type.setdefault(each.type, []).append(each)
    assert [(each.name, each.threshold, each.reward) for each in by_type["level"]] == [
        (name, threshold, AchievementReward())
        for name, threshold in (
            ("Novice", 5),
            ("Apprentice", 10),
            ("Skilled", 25),
            ("Expert", 50),
            ("Master", 100),
        )
    ]
    for type_ in ("experience", "sessions", "streak", "accuracy"):
        assert len(by_type[type_]) >= 3


async def test_every_level_that_unlocks_something_is_seeded(game: Game) -> None:
    rows = await game.fetch("SELECT DISTINCT level FROM level_unlocks ORDER BY level")
    assert [row["level"] for row in rows] == [*range(2, 11), *range(20, 101, 10)]


@pytest.mark.rule("player-achievements")
async def test_an_operator_adds_hides_and_retires_achievements(game: Game) -> None:
    request = CreateAchievement(
        id="secret", name="Secret", type="sessions", threshold=1, hidden=True
    )
    await game.do(Achievement, "create_achievement", request)
    with pytest.raises(Refused) as refused:
        await game.do(Achievement, "create_achievement", request)
    assert (refused.value.code, refused.value.status) == ("achievement_exists", 409)

    async def listed(*, include_hidden: bool) -> set[str]:
        everything = Everything(include_hidden=include_hidden)
        catalogue = await game.ask(Achievements, "achievements", everything)
        return {each.id for each in catalogue.achievements}

    assert "secret" not in await listed(include_hidden=False)
    assert "secret" in await listed(include_hidden=True)
    shown = UpdateAchievement(id="secret", name="No secret", hidden=False)
    assert (await game.do(Achievement, "update_achievement", shown)).name == "No secret"
    assert "secret" in await listed(include_hidden=False)
    await game.do(Achievement, "update_achievement", UpdateAchievement(id="secret", active=False))
    assert "secret" not in await listed(include_hidden=False)


@pytest.mark.rule("player-accuracy")
async def test_an_accuracy_of_more_than_100_percent_is_refused(game: Game) -> None:
    request = CreateAchievement(id="magic", name="Magic", type="accuracy", threshold=101)
    with pytest.raises(Refused) as refused:
        await game.do(Achievement, "create_achievement", request)
    assert refused.value.field == "threshold"


async def test_an_unknown_achievement_is_not_found(game: Game) -> None:
    with pytest.raises(Refused) as refused:
        await game.do(Achievement, "update_achievement", UpdateAchievement(id="nothing"))
    assert (refused.value.code, refused.value.status) == ("achievement_not_found", 404)
