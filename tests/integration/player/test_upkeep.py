"""Statistics are counted once, and old rows go without taking them along."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest

from services.player.rules.retention import RetentionPolicy
from services.player.store import PlayerStore
from services.player.workflows.player import PlayerWorkflow
from shared.messages.player import (
    LoggedIn,
    MessageSent,
    Player,
    Progress,
    Session,
    SessionReported,
)
from tests.integration.player.game import Game

RETENTION = timedelta(days=30)
INSTANT = timedelta(microseconds=1)


def completed(player_id: UUID | None, ended_at: datetime, number: int = 0) -> SessionReported:
    return SessionReported(
        session_id=uuid4(),
        player_id=player_id,
        started_at=ended_at - timedelta(seconds=60 + number),
        ended_at=ended_at,
        score=10 + number,
        correct=number % 4,
        answered=4,
        best_streak=number % 7,
    )


@pytest.mark.rule("player-stats")
async def test_replayed_late_and_disordered_sessions_give_equal_totals(game: Game) -> None:
    reports = [(number, game.at(hours=number)) for number in range(12)]
    totals: list[tuple[int, ...]] = []
    for seed in (1, 2, 3):
        player_id = await game.player()
        sessions = [completed(player_id, ended_at, number) for number, ended_at in reports]
        random = Random(seed)
        random.shuffle(sessions)
        for session in [*sessions, *sessions[:6]]:
            await game.do(Session, "session", session)
            if random.random() < 0.3:
                await game.run(player_id)
        await game.run(player_id)
        await game.run(player_id)
        progress = await game.progress(player_id)
        totals.append(
            (
                progress.sessions_completed,
                progress.answered,
                progress.correct,
                progress.accuracy_percent,
                progress.average_score,
                progress.best_streak,
                progress.play_seconds,
            )
        )
        await game.assert_ledger_agrees(player_id)
    assert set(totals) == {(12, 48, 18, 37, 15, 6, 12 * 60 + sum(range(12)))}


@pytest.mark.rule("player-stats")
async def test_sessions_that_were_not_completed_do_not_count(game: Game) -> None:
    player_id = await game.player()
    for status in ("active", "abandoned"):
        report = SessionReported(
            session_id=uuid4(), player_id=player_id, status=status, score=9, answered=3
        )
        await game.do(Session, "session", report)
    assert (await game.report(player_id)).sessions_folded == 0
    progress = await game.progress(player_id)
    assert (progress.sessions_completed, progress.answered) == (0, 0)


@pytest.mark.rule("player-cleanup", "player-stats")
async def test_forty_old_sessions_go_and_stay_counted(game: Game) -> None:
    player_id = await game.player()
    sessions = [completed(player_id, game.at(days=30, seconds=number + 1)) for number in range(40)]
    for session in sessions:
        await game.do(Session, "session", session)

    report = await game.report(player_id)

    assert report.sessions_folded == 40
    assert report.cleaned is not None
    assert report.cleaned.sessions == 40
    assert await game.count("game_sessions", player_id) == 0
    assert (await game.progress(player_id)).sessions_completed == 40

    # Nor does one that is reported again count again, now that its row is gone.
    before = await game.progress(player_id)
    await game.do(Session, "session", sessions[0])
    await game.run(player_id)
    assert await game.progress(player_id) == before


@pytest.mark.rule("player-cleanup")
async def test_a_row_exactly_at_the_cutoff_stays(game: Game) -> None:
    player_id = await game.player()
    at_cutoff = game.clock.now() - RETENTION
    for at in (at_cutoff, at_cutoff - INSTANT):
        await game.do(Session, "session", completed(player_id, at))
        await game.do(
            Progress, "message", MessageSent(message_id=uuid4(), player_id=player_id, at=at)
        )
        await game.do(Player, "login", LoggedIn(player_id=player_id, at=at))

    report = await game.report(player_id)

    assert report.cleaned is not None
    assert (report.cleaned.sessions, report.cleaned.messages, report.cleaned.event_logs) == (
        1,
        1,
        1,
    )
    for table, column in (
        ("game_sessions", "ended_at"),
        ("messages", "created_at"),
        ("event_logs", "created_at"),
    ):
        rows = await game.fetch(f"SELECT {column} AS at FROM {table}")
        assert [row["at"] for row in rows] == [at_cutoff]


@pytest.mark.rule("player-cleanup")
async def test_old_rows_of_other_players_stay(game: Game) -> None:
    player_id, other = await game.player(), await game.player()
    await game.do(Session, "session", completed(other, game.at(days=40)))
    await game.do(
        Progress,
        "message",
        MessageSent(message_id=uuid4(), player_id=other, at=game.at(days=40)),
    )
    await game.run(player_id)
    assert await game.count("game_sessions", other) == 1
    assert await game.count("messages", other) == 1


@pytest.mark.rule("player-cleanup", "player-inactive-guests")
async def test_guest_sessions_go_after_24_hours(game: Game) -> None:
    kept = completed(None, game.at(hours=24))
    gone = completed(None, game.at(hours=24) - INSTANT)
    for session in (kept, gone):
        await game.do(Session, "session", session)

    report = await game.report(await game.player())

    assert report.cleaned is not None
    assert report.cleaned.guest_sessions == 1
    rows = await game.fetch("SELECT id FROM game_sessions")
    assert [row["id"] for row in rows] == [kept.session_id]


@pytest.mark.rule("player-cleanup", "player-stats")
async def test_a_completed_session_is_not_deleted_before_it_is_counted(game: Game) -> None:
    player_id = await game.player()
    await game.do(Session, "session", completed(player_id, game.at(days=40)))
    policy = RetentionPolicy()
    async with game.pool.acquire() as connection, connection.transaction():
        store = PlayerStore(connection, player_id)
        cutoffs = policy.cutoffs(game.clock.now())
        assert (await store.clean(cutoffs, policy.guest_batch)).sessions == 0
        await store.fold_sessions(game.clock.now())
        assert (await store.clean(cutoffs, policy.guest_batch)).sessions == 1


@pytest.mark.rule("player-cleanup")
async def test_one_run_deletes_a_batch_of_guest_sessions(game: Game) -> None:
    for _ in range(3):
        await game.do(Session, "session", completed(None, game.at(days=2)))
    rig = game.with_workflow(PlayerWorkflow(retention=RetentionPolicy(guest_batch=2)))
    for left in (1, 0):
        await game.run_on(rig, await game.player())
        assert len(await game.fetch("SELECT id FROM game_sessions")) == left
