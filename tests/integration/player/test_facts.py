"""What games report, and the xp it gives."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from shared.messages.player import (
    ActivityReported,
    BySession,
    LoggedIn,
    MessageSent,
    PageOfPlayer,
    Player,
    PlayerLoggedIn,
    Progress,
    Session,
    SessionCompleted,
    SessionReported,
    Sessions,
    UpdatePlayer,
)
from shared.messages.problems import Refused
from shared.messages.workflows import StartPlayer
from tests.integration.player.game import Game


@pytest.mark.rule("player-who-starts-runs")
async def test_a_login_starts_the_players_run_of_its_own_reward_day(game: Game) -> None:
    player_id = await game.player(timezone="Pacific/Auckland")
    game.clock.set(datetime.fromisoformat("2026-03-02T12:00:00+00:00"))
    await game.do(Player, "login", LoggedIn(player_id=player_id))
    await game.do(Player, "login", LoggedIn(player_id=player_id))
    run_id = f"login-{player_id}-2026-03-03"
    assert game.triggers == [StartPlayer(id=run_id, player_id=player_id)] * 2
    assert len(run_id) <= 100


@pytest.mark.rule("player-who-starts-runs")
async def test_the_first_login_gives_100_xp_once(game: Game) -> None:
    player_id = await game.player()
    for _ in range(3):
        await game.do(Player, "login", LoggedIn(player_id=player_id))
        game.clock.advance(timedelta(days=1))
    assert await game.xp_reasons(player_id) == [("first_login", 100)]


async def test_a_login_delivered_again_is_told_once(game: Game) -> None:
    player_id = await game.player()
    fact = LoggedIn(player_id=player_id, at=game.at(minutes=5))
    first = await game.do(Player, "login", fact, key="INGEST/1")
    game.clock.advance(timedelta(minutes=1))
    again = await game.do(Player, "login", fact, key="INGEST/1")
    assert again == first
    assert first.last_login == fact.at
    assert game.events == [PlayerLoggedIn(player_id=player_id)]
    assert await game.count("event_logs", player_id) == 1


async def test_a_late_login_does_not_move_the_last_login_back(game: Game) -> None:
    player_id = await game.player()
    await game.do(Player, "login", LoggedIn(player_id=player_id, at=game.at(minutes=1)))
    late = await game.do(Player, "login", LoggedIn(player_id=player_id, at=game.at(hours=1)))
    assert late.last_login == game.at(minutes=1)


@pytest.mark.rule("player-unknown-player")
async def test_facts_about_nobody_are_refused_and_leave_nothing(game: Game) -> None:
    nobody = uuid4()
    for name, answer, fact in facts_about(nobody):
        with pytest.raises(Refused) as refused:
            await game.do(answer, name, fact)
        assert (refused.value.code, refused.value.status) == ("player_not_found", 404)
        assert refused.value.field == "playerId"
    for table in ("game_sessions", "messages", "event_logs", "player_grants"):
        assert await game.fetch(f"SELECT 1 FROM {table}") == []
    assert game.triggers == []


@pytest.mark.rule("player-inactive-guests")
async def test_facts_about_an_inactive_player_are_refused(game: Game) -> None:
    player_id = await game.player()
    await game.do(Player, "update_player", UpdatePlayer(player_id=player_id, is_active=False))
    for name, answer, fact in facts_about(player_id):
        with pytest.raises(Refused) as refused:
            await game.do(answer, name, fact)
        assert (refused.value.code, refused.value.status) == ("player_inactive", 409)
    assert game.triggers == []


Fact = LoggedIn | SessionReported | MessageSent | ActivityReported
Answer = type[Player] | type[Session] | type[Progress]


def facts_about(player_id: UUID) -> list[tuple[str, Answer, Fact]]:
    return [
        ("login", Player, LoggedIn(player_id=player_id)),
        ("session", Session, SessionReported(session_id=uuid4(), player_id=player_id)),
        ("message", Progress, MessageSent(message_id=uuid4(), player_id=player_id)),
        ("activity", Progress, npc(player_id, "npc-1")),
    ]


def npc(player_id: UUID, source_id: str) -> ActivityReported:
    return ActivityReported(player_id=player_id, event="npc_interaction", source_id=source_id)


async def test_events_give_their_xp_once_for_each_source(game: Game) -> None:
    player_id = await game.player()
    message = MessageSent(message_id=uuid4(), player_id=player_id, text="well met")
    session = SessionReported(session_id=uuid4(), player_id=player_id, score=150)
    for _ in range(2):
        await game.do(Progress, "message", message)
        await game.do(Session, "session", session)
        await game.do(Progress, "activity", npc(player_id, "npc-1"))
        await game.do(Progress, "activity", npc(player_id, "npc-2"))
        for event in ("create_npc", "lobby_participation"):
            await game.do(
                Progress,
                "activity",
                ActivityReported(player_id=player_id, event=event, source_id="npc-1"),
            )
    assert await game.xp_reasons(player_id) == [
        ("chat_message", 1),
        ("session", 150),
        ("npc_interaction", 5),
        ("npc_interaction", 5),
        ("create_npc", 25),
        ("lobby_participation", 2),
    ]
    assert (await game.progress(player_id)).xp == 188
    assert [event for event in game.events if isinstance(event, SessionCompleted)] == [
        SessionCompleted(player_id=player_id, session_id=session.session_id, score=150)
    ]
    await game.assert_ledger_agrees(player_id)


async def test_a_daily_cap_cuts_off_and_ends_with_the_day(game: Game) -> None:
    await game.fetch("UPDATE xp_rules SET daily_cap = 12 WHERE event = 'npc_interaction'")
    player_id = await game.player()
    for number in range(4):
        await game.do(Progress, "activity", npc(player_id, f"npc-{number}"))
    assert (await game.progress(player_id)).xp == 12
    assert await game.count("player_grants", player_id, "source_kind = 'npc_interaction'") == 4
    game.clock.advance(timedelta(days=1))
    await game.do(Progress, "activity", npc(player_id, "npc-3"))
    assert (await game.progress(player_id)).xp == 12
    await game.do(Progress, "activity", npc(player_id, "npc-4"))
    assert (await game.progress(player_id)).xp == 17


async def test_concurrent_events_do_not_get_past_the_cap(game: Game) -> None:
    await game.fetch("UPDATE xp_rules SET daily_cap = 12 WHERE event = 'npc_interaction'")
    player_id = await game.player()
    await asyncio.gather(
        *(game.do(Progress, "activity", npc(player_id, f"npc-{number}")) for number in range(20))
    )
    assert (await game.progress(player_id)).xp == 12


@pytest.mark.rule("player-stats")
async def test_a_session_that_is_reported_as_it_goes_need_not_name_its_player_again(
    game: Game,
) -> None:
    player_id = await game.player()
    session_id = uuid4()
    begun = SessionReported(
        session_id=session_id, player_id=player_id, status="active", difficulty="hard"
    )
    await game.do(Session, "session", begun)
    assert (await game.progress(player_id)).xp == 0
    game.clock.advance(timedelta(minutes=10))

    ended = await game.do(Session, "session", SessionReported(session_id=session_id, score=50))

    assert (ended.player_id, ended.status, ended.difficulty) == (player_id, "completed", "hard")
    assert (ended.started_at, ended.ended_at) == (game.at(minutes=10), game.clock.now())
    assert (await game.progress(player_id)).xp == 50
    assert await game.ask(Session, "session", BySession(session_id=session_id)) == ended
    assert (await game.report(player_id)).sessions_folded == 1
    assert (await game.progress(player_id)).play_seconds == 600


async def test_a_session_of_another_player_is_refused(game: Game) -> None:
    session = SessionReported(session_id=uuid4(), player_id=await game.player(), status="active")
    await game.do(Session, "session", session)
    theirs = SessionReported(session_id=session.session_id, player_id=await game.player())
    with pytest.raises(Refused, match="another player's") as refused:
        await game.do(Session, "session", theirs)
    assert (refused.value.field, refused.value.status) == ("sessionId", 409)


async def test_a_message_of_another_player_is_refused(game: Game) -> None:
    message = MessageSent(message_id=uuid4(), player_id=await game.player())
    await game.do(Progress, "message", message)
    other = await game.player()
    with pytest.raises(Refused, match="another player's"):
        await game.do(
            Progress, "message", MessageSent(message_id=message.message_id, player_id=other)
        )
    assert (await game.progress(other)).xp == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"correct": 2, "answered": 1}, "correct"),
        ({"started_at": "2026-03-01T10:00:00Z", "ended_at": "2026-03-01T09:00:00Z"}, "endedAt"),
    ],
)
async def test_a_session_that_cannot_be_is_refused_with_the_field(
    game: Game, fields: dict[str, int] | dict[str, str], field: str
) -> None:
    given = {
        name: datetime.fromisoformat(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }
    report = SessionReported(session_id=uuid4(), player_id=await game.player(), **given)  # type: ignore[arg-type] # varied by test
    with pytest.raises(Refused) as refused:
        await game.do(Session, "session", report)
    assert refused.value.field == field


@pytest.mark.rule("player-inactive-guests")
async def test_a_guests_session_is_kept_and_earns_nothing(game: Game) -> None:
    report = SessionReported(session_id=uuid4(), score=150)
    session = await game.do(Session, "session", report)
    assert session.player_id is None
    assert await game.fetch("SELECT 1 FROM player_grants") == []
    assert game.events == []


async def test_sessions_come_in_pages_newest_first(game: Game) -> None:
    player_id = await game.player()
    ids = [uuid4() for _ in range(5)]
    for session_id in ids:
        await game.do(
            Session, "session", SessionReported(session_id=session_id, player_id=player_id)
        )
    read: list[UUID] = []
    cursor: int | None = None
    for _ in range(3):
        request = PageOfPlayer(player_id=player_id, limit=2, cursor=cursor)
        page = await game.ask(Sessions, "sessions", request)
        read += [session.id for session in page.sessions]
        cursor = page.next_cursor
    assert read == ids[::-1]
    assert cursor is None
