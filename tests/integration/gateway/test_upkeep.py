"""What retention and dead letters look like from outside, with the player service behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.app import create_app, ensure
from services.player.app import service as player_service
from shared.jetstream.connection import jetstream
from shared.jetstream.patience import Together
from shared.jetstream.requests import Requests
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.retention import ApplyRetention, RetentionApplied
from shared.postgres.pool import create_pool
from shared.postgres.retention import RetentionStore
from shared.postgres.store import PostgresStore
from shared.runtime.config import Secret, load
from shared.runtime.definition import ServiceSettings
from shared.runtime.retention import Retention
from shared.runtime.service import Service
from shared.testing.clocks import ManualClock

Http = TestClient[Request, Application]
MakeDatabase = Callable[[str], Awaitable[str]]

START = "/api/workflows/player"
BOUND_SECONDS = 20.0


@dataclass
class Game:
    """A caller of the gateway, and the service's database."""

    http: Http
    client: Client
    pool: asyncpg.Pool[asyncpg.Record]
    retention: Retention

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as answer:
            return await answer.json()

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as answer:
            return answer.status, await answer.json()

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """What is read once it holds; each look is a request. Bounded."""
        async with asyncio.timeout(BOUND_SECONDS):
            while not holds(seen := await self.get(path)):
                pass
        return seen


@pytest.fixture
async def game(
    nats_url: str, nats_client: Client, http: Http, clock: ManualClock, make_database: MakeDatabase
) -> AsyncIterator[Game]:
    url = await make_database("player")
    settings = load(ServiceSettings, {"NATS_URL": nats_url, "DATABASE_URL": url, "HTTP_PORT": "0"})
    async with AsyncExitStack() as stack:
        pool = await create_pool(url, size=2, name="test", idle_timeout_seconds=30)
        stack.callback(pool.terminate)
        retention = Retention(
            RetentionStore(pool),
            JetStreamStatusBucket(nats_client),
            clock,
            expire_unclaimed=PostgresStore("player", pool, pool).expire_unclaimed,
        )
        service = Service(player_service(), settings, clock)
        running = asyncio.create_task(service.run())
        yield Game(http, nats_client, pool, retention)
        service.stop()
        assert await running is None


async def create_player(game: Game) -> str:
    player_id = str(uuid4())
    body = {"id": player_id}
    async with asyncio.timeout(BOUND_SECONDS):
        while (await game.post("/api/players", body))[0] == 503:
            pass
    return player_id


@pytest.mark.rule("engine-15", "engine-17")
async def test_an_old_duplicate_is_accepted_changes_nothing_and_finds_the_outcome(
    game: Game, clock: ManualClock
) -> None:
    start = {"id": "old", "playerId": await create_player(game)}
    assert (await game.post(START, start))[0] == 202
    await game.until("/api/workflows/old", lambda seen: seen["status"] == "complete")
    xp = (await game.get(f"/api/players/{start['playerId']}/progress"))["xp"]
    clock.advance(timedelta(days=31))
    await Requests(game.client).request(
        subjects.command("player", "apply_retention"),
        ApplyRetention(name="instances", keep_seconds=30 * 86_400),
        RetentionApplied,
    )
    await game.retention.tick()
    assert (await game.get("/api/workflows/old"))["code"] == "workflow_not_found"

    assert (await game.post(START, start))[0] == 202
    shown = await game.until("/api/workflows/old", lambda seen: seen["status"] != "queued")
    status, problem = await game.post(START, start)

    assert (shown["status"], shown["outputOmitted"], shown["steps"]) == ("complete", True, [])
    assert (status, problem["code"]) == (409, "workflow_exists")
    assert (await game.get(f"/api/players/{start['playerId']}/progress"))["xp"] == xp


@pytest.mark.rule("engine-27")
async def test_a_dead_letter_is_listed_read_replayed_and_discarded_over_http(game: Game) -> None:
    await create_player(game)
    subject = subjects.ingest("player", "message")
    js = jetstream(game.client)
    player_id = str(uuid4())
    body = b'{"playerId": "%s", "messageId": "%s"}' % (player_id.encode(), str(uuid4()).encode())
    for _ in range(2):
        await js.publish(subject, body)
    page = await game.until(
        f"/api/dead-letters?service=player&subject={subject}&limit=5",
        lambda seen: len(seen["deadLetters"]) == 2,
    )
    newest, oldest = (f"/api/dead-letters/player/{each['id']}" for each in page["deadLetters"])
    assert (await game.get(newest))["body"]["playerId"] == player_id

    assert (await game.post(f"{newest}/discard"))[0] == 200
    status, replayed = await game.post(f"{oldest}/replay")
    again, problem = await game.post(f"{oldest}/replay")

    assert (status, replayed["settlement"], replayed["settledBy"]) == (200, "replayed", "api")
    assert (again, problem["code"]) == (409, "dead_letter_settled")
    # It fails again, and is a letter of its own.
    [third] = (
        await game.until(
            "/api/dead-letters?service=player", lambda seen: len(seen["deadLetters"]) == 1
        )
    )["deadLetters"]
    assert third["id"] > page["deadLetters"][0]["id"]


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    "path", ["/api/dead-letters", "/api/dead-letters?service=x", "/api/dead-letters/x/1"]
)
async def test_a_service_that_there_is_not_is_404_and_names_those_there_are(
    http: Http, path: str
) -> None:
    async with http.get(path) as answer:
        problem = await answer.json()
    assert (answer.status, problem["code"]) == (404, "unknown_service")
    assert "player" in problem["detail"]


@pytest.mark.rule("engine-15")
@pytest.mark.parametrize("name", [subjects.STATUS_STREAM, subjects.workflows_stream("player")])
async def test_a_gateway_makes_a_lost_stream_again_when_a_start_needs_it(
    nats_client: Client, clock: ManualClock, name: str
) -> None:
    await ensure(nats_client)
    app = create_app(
        nats_client,
        Secret("key"),
        clock,
        lost=Together(partial(ensure, nats_client)),
    )
    headers = {"Authorization": "Bearer key"}
    async with TestClient(TestServer(app), headers=headers) as http:
        await jetstream(nats_client).delete_stream(name)
        async with http.post(START, json={"id": "one", "playerId": str(uuid4())}) as answer:
            assert answer.status == 202
    assert (await jetstream(nats_client).stream_info(name)).state.messages == 1


@pytest.mark.rule("http-health")
async def test_a_gateway_without_its_status_bucket_is_not_ready_or_makes_it_again(
    nats_client: Client, clock: ManualClock
) -> None:
    for lost, expected in ((None, 503), (Together(partial(ensure, nats_client)), 200)):
        app = create_app(nats_client, Secret("key"), clock, lost=lost)
        async with TestClient(TestServer(app)) as http:
            assert (await http.get("/readyz")).status == expected
