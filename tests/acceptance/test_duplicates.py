"""One run, one reward, however often and by whatever way it is asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest

from shared.messages import subjects
from shared.messages.workflows import Status
from tests.acceptance.game import Game

START = subjects.start("player")


async def claims(game: Game, workflow_id: str) -> int:
    """How often an instance was claimed: once for one undisturbed run."""
    epoch: int = await game.value("SELECT epoch FROM workflow_instances WHERE id = $1", workflow_id)
    return epoch


async def publish_again(game: Game, player_id: UUID, workflow_id: str) -> None:
    """The same command as one that the duplicate window does not know."""
    ack = await game.publish(
        START,
        {"playerId": player_id, "id": workflow_id},
        {subjects.WORKFLOW_ID: workflow_id, subjects.MESSAGE_ID: str(uuid4())},
    )
    assert not ack.duplicate


@pytest.mark.rule("engine-15", "http-same-id")
async def test_of_fifty_concurrent_starts_of_one_id_one_runs(game: Game) -> None:
    player_id = await game.create_player()
    workflow_id = f"contended-{uuid4()}"

    answers = await asyncio.gather(*(game.start(player_id, workflow_id) for _ in range(50)))

    assert Counter(answer.status for answer in answers) == {202: 1, 409: 49}
    await game.ended(workflow_id)
    await game.all_done()
    assert await claims(game, workflow_id) == 1
    assert (await game.progress(player_id)).xp == 10


@pytest.mark.rule("engine-4", "engine-16")
async def test_of_fifty_copies_of_one_command_past_the_duplicate_window_one_runs(
    game: Game,
) -> None:
    player_id = await game.create_player()
    workflow_id = f"copied-{uuid4()}"

    await asyncio.gather(*(publish_again(game, player_id, workflow_id) for _ in range(50)))
    await game.all_done()

    assert (await game.ended(workflow_id)).status is Status.COMPLETE
    assert await claims(game, workflow_id) == 1
    runs = await game.value(
        "SELECT count(*) FROM workflow_instances WHERE input->>'playerId' = $1", str(player_id)
    )
    assert runs == 1


@pytest.mark.rule("engine-11", "engine-25")
async def test_the_same_command_after_the_duplicate_window_finds_its_run_ended(game: Game) -> None:
    player_id = await game.create_player()
    first = await game.run(player_id)

    await publish_again(game, player_id, first.workflow_id)
    await game.all_done()

    assert await game.status(first.workflow_id) == first
    assert await claims(game, first.workflow_id) == 1


@pytest.mark.rule("engine-11", "engine-25")
async def test_the_same_command_after_a_restart_of_nats_finds_its_run_ended(game: Game) -> None:
    player_id = await game.create_player()
    first = await game.run(player_id)

    [nats] = game.cluster.nats.nodes
    await nats.kill()
    await nats.start()
    await publish_again(game, player_id, first.workflow_id)
    await game.all_done()

    assert await game.status(first.workflow_id) == first
    assert await claims(game, first.workflow_id) == 1
    answer = await game.start(player_id, first.workflow_id)
    assert answer.status == 409


@pytest.mark.rule("player-concurrency")
async def test_twenty_concurrent_triggers_for_one_player_give_one_daily_reward(game: Game) -> None:
    player_id = await game.create_player()

    by_http = [game.start(player_id) for _ in range(10)]
    by_nats = [game.publish(START, {"playerId": player_id}) for _ in range(10)]
    answers = await asyncio.gather(*by_http)
    await asyncio.gather(*by_nats)
    statuses = await asyncio.gather(*(game.ended(answer.body["workflowId"]) for answer in answers))
    await game.all_done()

    assert all(status.status is Status.COMPLETE for status in statuses)
    rows = await game.database.fetch(
        "SELECT status FROM workflow_instances WHERE input->>'playerId' = $1", str(player_id)
    )
    assert [row["status"] for row in rows] == ["complete"] * 20
    async with game.http.get(f"/api/players/{player_id}/xp") as answer:
        history = await answer.json()
    assert [(entry["amount"], entry["coins"]) for entry in history["entries"]] == [(10, 5)]
    rewards = await game.value(
        "SELECT count(*) FROM daily_rewards WHERE player_uuid = $1", player_id
    )
    assert rewards == 1
