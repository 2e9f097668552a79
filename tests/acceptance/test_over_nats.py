"""Whoever publishes straight to NATS enters at the same place as the gateway."""

from __future__ import annotations

from uuid import uuid4

import pytest
from nats.js.errors import NoStreamResponseError

from shared.messages import subjects
from shared.messages.workflows import Status
from shared.workflow.records import InstanceKey
from tests.acceptance.game import Game, eventually

START = subjects.start("player")


@pytest.mark.rule("engine-16")
async def test_a_bare_publish_with_nothing_but_a_body_runs_the_workflow(game: Game) -> None:
    player_id = await game.create_player()

    await game.publish(START, {"playerId": player_id})

    await eventually(lambda: game.progress(player_id), lambda progress: progress.xp == 10)
    await game.all_done()
    rows = await game.database.fetch(
        "SELECT id FROM workflow_instances WHERE input->>'playerId' = $1", str(player_id)
    )
    [workflow_id] = [row["id"] for row in rows]
    status = await game.ended(workflow_id)
    assert (status.status, status.kind) == (Status.COMPLETE, "player")


@pytest.mark.rule("engine-16")
@pytest.mark.parametrize("header", [subjects.WORKFLOW_ID, subjects.MESSAGE_ID])
async def test_a_header_names_the_instance(game: Game, header: str) -> None:
    player_id = await game.create_player()
    name = f"named-{uuid4()}"

    await game.publish(START, {"playerId": player_id}, {header: name})

    assert (await game.ended(name)).status is Status.COMPLETE


@pytest.mark.rule("player-who-starts-runs")
async def test_a_login_starts_the_run_of_the_day_once(game: Game) -> None:
    player_id = await game.create_player()

    for _ in range(3):
        await game.publish(subjects.ingest("player", "login"), {"playerId": player_id})
    await eventually(lambda: game.progress(player_id), lambda progress: progress.streak_current > 0)
    await game.all_done()

    rows = await game.database.fetch(
        "SELECT id, status FROM workflow_instances WHERE input->>'playerId' = $1", str(player_id)
    )
    [run] = rows
    day = await game.value("SELECT reward_day FROM daily_rewards WHERE player_uuid = $1", player_id)
    assert (run["id"], run["status"]) == (f"login-{player_id}-{day}", "complete")


async def test_a_session_and_a_message_are_recorded_once_with_their_xp(game: Game) -> None:
    player_id = await game.create_player()
    session_id, message_id = uuid4(), uuid4()
    session = {"sessionId": session_id, "playerId": player_id, "score": 140}
    message = {"messageId": message_id, "playerId": player_id, "text": "Hello"}

    for _ in range(2):
        await game.publish(subjects.ingest("player", "session"), session)
        await game.publish(subjects.ingest("player", "message"), message)
    await game.all_done()

    assert (await game.progress(player_id)).xp == 141
    score = await game.value("SELECT score FROM game_sessions WHERE id = $1", session_id)
    text = await game.value("SELECT text FROM messages WHERE id = $1", message_id)
    assert (score, text) == (140, "Hello")


@pytest.mark.rule("engine-33")
async def test_a_start_of_an_unknown_kind_is_told_that_nobody_takes_it(game: Game) -> None:
    with pytest.raises(NoStreamResponseError):
        await game.js.publish(subjects.start("plumber"), b"{}")

    answer = await game.post("/api/workflows/plumber", {"playerId": uuid4()})
    assert (answer.status, answer.body["code"]) == (404, "unknown_kind")
    assert "player" in answer.body["detail"]


@pytest.mark.rule("http-status")
async def test_the_bucket_can_be_read_by_any_client_of_nats(game: Game) -> None:
    player_id = await game.create_player()
    status = await game.run(player_id)

    bucket = await game.js.key_value(subjects.STATUS_BUCKET)
    entry = await bucket.get(str(InstanceKey("player", status.workflow_id)))

    assert b'"status":"complete"' in (entry.value or b"")
