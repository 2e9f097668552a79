"""SIGTERM: what is in flight is finished, nothing more is taken, the process ends well."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import psutil
import pytest

from services.stack.processes import ServiceProcess
from shared.messages import subjects
from shared.messages.workflows import Status
from tests.acceptance.game import Game, eventually

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture(autouse=True)
async def _started_again(game: Game) -> AsyncIterator[None]:
    """Whoever ended in the test runs again after it."""
    yield
    for process in (*game.cluster.players, game.cluster.gateway):
        await process.start()


@asynccontextmanager
async def held(game: Game, player_id: UUID) -> AsyncGenerator[None]:
    """Nobody else can work on the player meanwhile."""
    connection = await asyncpg.connect(game.cluster.database_url)
    async with connection.transaction():
        await connection.execute(
            "SELECT 1 FROM player_progress WHERE player_uuid = $1 FOR UPDATE", player_id
        )
        yield
    await connection.close()


async def someone_waits(game: Game) -> None:
    """Returns once a transaction of a service waits for the player."""
    await eventually(lambda: game.value(WAITING), lambda count: count > 0)


async def ask_to_end(process: ServiceProcess) -> None:
    """SIGTERM; returns once the process has taken notice."""
    psutil.Process(process.pid).send_signal(signal.SIGTERM)
    await eventually(process.is_ready, lambda ready: not ready)


async def test_a_service_finishes_the_run_in_flight_and_leaves_the_next_to_others(
    game: Game,
) -> None:
    player_id = await game.create_player()
    in_flight, later = f"flight-{uuid4()}", f"later-{uuid4()}"
    async with held(game, player_id):
        await game.start(player_id, in_flight)
        await someone_waits(game)
        for process in game.cluster.players:
            await ask_to_end(process)
        await game.start(player_id, later)
    codes = await asyncio.gather(*(process.wait() for process in game.cluster.players))

    assert codes == [0, 0]
    finished, waiting = await game.status(in_flight), await game.status(later)
    assert finished is not None
    assert waiting is not None
    assert (finished.status, waiting.status) == (Status.COMPLETE, Status.QUEUED)
    claims = await game.value("SELECT epoch FROM workflow_instances WHERE id = $1", in_flight)
    assert claims == 1
    stream = await game.js.stream_info(subjects.workflows_stream("player"))
    assert stream.state.messages == 1

    await game.cluster.players[0].start()
    assert (await game.ended(later)).status is Status.COMPLETE


async def test_the_gateway_answers_the_request_in_flight(game: Game) -> None:
    player_id = await game.create_player()
    message = {"messageId": uuid4(), "text": "Last words"}
    async with held(game, player_id):
        answering = asyncio.create_task(game.post(f"/api/players/{player_id}/messages", message))
        await someone_waits(game)
        await ask_to_end(game.cluster.gateway)
    answer = await answering

    assert answer.status == 201
    assert await game.cluster.gateway.wait() == 0
