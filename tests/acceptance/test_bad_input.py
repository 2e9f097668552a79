"""What is wrong is refused with the reason, leaves nothing behind, and ends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from nats.js.errors import APIError

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import Status
from tests.acceptance.game import Game

START = subjects.start("player")
PLAYER = str(uuid4())
DEEP = b'{"deep":' * 100_000


@pytest.fixture(autouse=True)
async def _the_service_goes_on(game: Game) -> AsyncIterator[None]:
    """After each of these tests the same processes do a run, over unbroken connections."""
    processes = (*game.cluster.players, game.cluster.gateway)
    pids = [each.pid for each in processes]
    logged = [each.log.stat().st_size for each in processes]
    yield
    status = await game.run(await game.create_player())
    assert status.status is Status.COMPLETE
    assert [each.pid for each in processes] == pids
    assert game.client.stats["reconnects"] == 0
    for process, start in zip(processes, logged, strict=True):
        assert b"nats_disconnected" not in process.log.read_bytes()[start:]


async def instances(game: Game) -> int:
    """How many runs there are."""
    await game.all_done()
    count: int = await game.value("SELECT count(*) FROM workflow_instances")
    return count


def padded(size: int, player_id: object = PLAYER) -> bytes:
    """A trigger of exactly so many bytes."""
    frame = f'{{"playerId":"{player_id}","padding":""}}'
    return frame.replace('""', f'"{"x" * (size - len(frame))}"').encode()


# -- starts -------------------------------------------------------------------------------------


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"playerId":', 400, None),
        (DEEP, 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "playerId"),
        (b'{"playerId": 5}', 422, "playerId"),
        (b'{"playerId": "nobody"}', 422, "playerId"),
        (msgspec.json.encode({"playerId": PLAYER, "id": "a b"}), 422, "id"),
        (msgspec.json.encode({"playerId": PLAYER, "startAt": "soon"}), 422, "startAt"),
        (padded(MAX_CONTENT_BYTES + 1), 413, None),
    ],
    ids=["malformed", "deep", "shape", "missing", "type", "value", "id", "instant", "size"],
)
async def test_over_http_a_bad_start_is_a_problem_that_names_the_field(
    game: Game, body: bytes, status: int, field: str | None
) -> None:
    before = await instances(game)

    answer = await game.post("/api/workflows/player", body)

    assert (answer.status, answer.body.get("field")) == (status, field)
    assert answer.body["detail"]
    assert await instances(game) == before


@pytest.mark.rule("engine-27")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"playerId":', "not JSON"),
        (DEEP, "nested too deeply"),
        (b"[]", "object"),
        (b"{}", "playerId"),
        (b'{"playerId": 5}', "playerId"),
        (b'{"playerId": "nobody"}', "playerId"),
        (msgspec.json.encode({"playerId": PLAYER, "id": "a b"}), "id"),
        (msgspec.json.encode({"playerId": PLAYER, "startAt": "soon"}), "startAt"),
        (padded(MAX_CONTENT_BYTES + 1), f"{MAX_CONTENT_BYTES}"),
    ],
    ids=["malformed", "deep", "shape", "missing", "type", "value", "id", "instant", "size"],
)
async def test_over_nats_a_bad_start_is_a_dead_letter_that_names_the_field(
    game: Game, body: bytes, said: str
) -> None:
    before = await instances(game)

    letter = await game.letter(await game.publish(START, body))

    assert letter.reason == "undecodable"
    assert said in letter.detail
    assert await instances(game) == before


@pytest.mark.rule("engine-16", "engine-27")
async def test_over_nats_a_bad_id_in_the_header_is_a_dead_letter(game: Game) -> None:
    headers = {subjects.WORKFLOW_ID: "no.dots"}
    before = await instances(game)

    letter = await game.letter(await game.publish(START, {"playerId": PLAYER}, headers))

    assert letter.reason == "undecodable"
    assert "Workflow-Id is 'no.dots'" in letter.detail
    assert await instances(game) == before


@pytest.mark.rule("engine-30")
async def test_a_start_of_one_mebibyte_plus_headers_runs(game: Game) -> None:
    player_id = await game.create_player()
    headers = {subjects.WORKFLOW_ID: f"large-{uuid4()}", "Trace": "x" * 4000}

    await game.publish(START, padded(MAX_CONTENT_BYTES, player_id), headers)

    status = await game.ended(headers[subjects.WORKFLOW_ID])
    assert status.status is Status.COMPLETE


@pytest.mark.rule("engine-30")
async def test_a_message_that_no_stream_takes_is_refused_to_its_publisher(game: Game) -> None:
    with pytest.raises(APIError, match="exceeds maximum"):
        await game.publish(START, padded(2 * MAX_CONTENT_BYTES))


# -- players ------------------------------------------------------------------------------------


@pytest.mark.rule("player-unknown-player")
@pytest.mark.parametrize("way", ["http", "nats"])
async def test_a_run_of_an_unknown_player_ends_errored_without_a_retry(
    game: Game, way: str
) -> None:
    workflow_id, player_id = f"unknown-{uuid4()}", uuid4()

    if way == "http":
        assert (await game.start(player_id, workflow_id)).status == 202
    else:
        await game.publish(START, {"playerId": player_id}, {subjects.WORKFLOW_ID: workflow_id})

    await refused_run(game, workflow_id, "player_not_found")


@pytest.mark.rule("player-inactive-guests")
async def test_a_run_of_an_inactive_player_ends_errored_and_gives_nothing(game: Game) -> None:
    player_id = await game.create_player()
    await game.deactivate(player_id)
    workflow_id = f"inactive-{uuid4()}"

    await game.start(player_id, workflow_id)

    await refused_run(game, workflow_id, "player_inactive")
    assert (await game.progress(player_id)).xp == 0


async def refused_run(game: Game, workflow_id: str, code: str) -> None:
    """The run ended at its first step, at the first attempt."""
    status = await game.ended(workflow_id)
    assert status.status is Status.ERRORED
    assert status.error is not None
    assert (status.error.name, status.error.step) == (code, "daily_rewards")
    assert [(step.status, step.attempts) for step in status.steps] == [("failed", 1)]
    assert status.completed_steps == ()


# -- facts --------------------------------------------------------------------------------------


@pytest.mark.rule("engine-27")
@pytest.mark.parametrize(
    ("name", "fact", "reason", "said"),
    [
        ("session", b'{"sessionId":', "malformed_json", "not JSON"),
        ("session", {"playerId": PLAYER}, "invalid_message", "sessionId"),
        ("session", {"sessionId": PLAYER, "score": "many"}, "invalid_message", "score"),
        ("session", {"sessionId": PLAYER, "score": -1}, "invalid_message", "score"),
        ("session", {"sessionId": PLAYER, "correct": 1}, "more_correct_than_answered", "correct"),
        ("message", {"messageId": PLAYER, "playerId": PLAYER}, "player_not_found", "playerId"),
        ("login", {"playerId": PLAYER}, "player_not_found", "playerId"),
        ("login", padded(MAX_CONTENT_BYTES + 1), "too_large", f"{MAX_CONTENT_BYTES}"),
        ("birthday", {"playerId": PLAYER}, "unknown_fact", "login"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_bad_fact_is_a_dead_letter_that_names_the_field(
    game: Game, name: str, fact: Any, reason: str, said: str
) -> None:
    letter = await game.letter(await game.publish(subjects.ingest("player", name), fact))

    assert letter.reason == reason
    assert said in letter.detail
    assert await game.value("SELECT count(*) FROM game_sessions WHERE id = $1", PLAYER) == 0
    assert await game.value("SELECT count(*) FROM messages WHERE id = $1", PLAYER) == 0


@pytest.mark.rule("player-inactive-guests")
async def test_facts_of_an_inactive_player_are_refused(game: Game) -> None:
    player_id = await game.create_player()
    await game.deactivate(player_id)
    login = {"playerId": player_id}

    letter = await game.letter(await game.publish(subjects.ingest("player", "login"), login))
    answer = await game.post(f"/api/players/{player_id}/logins", {})

    assert letter.reason == "player_inactive"
    assert (answer.status, answer.body["code"]) == (409, "player_inactive")
    assert (await game.progress(player_id)).xp == 0
