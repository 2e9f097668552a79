"""The gateway while NATS is away, its health, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from uuid import uuid4

import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from shared.jetstream.connection import connect, jetstream
from shared.jetstream.requests import RequestServer
from shared.messages import subjects
from shared.runtime.embedded.child import free_port
from shared.runtime.embedded.nats import EmbeddedNats

Http = TestClient[Request, Application]
MakeGateway = Callable[[Client], Awaitable[Http]]

START = "/api/workflows/player"
BODY = {"playerId": str(uuid4()), "id": "one"}
BOUND_SECONDS = 20


@pytest.fixture
async def own_client(own_nats: EmbeddedNats) -> AsyncIterator[Client]:
    client = await connect(own_nats.url, "test")
    yield client
    await client.close()


@pytest.fixture
async def own_http(own_client: Client, make_gateway: MakeGateway) -> Http:
    """A gateway whose NATS the test may stop."""
    return await make_gateway(own_client)


async def ready(http: Http) -> None:
    """Returns once the gateway says that it can serve."""
    async with asyncio.timeout(BOUND_SECONDS):
        while (await http.get("/readyz")).status != 200:
            pass


@pytest.mark.rule("engine-15", "http-start")
async def test_a_start_while_nats_is_away_is_503_names_its_id_and_is_not_half_accepted(
    own_http: Http, own_nats: EmbeddedNats, own_client: Client
) -> None:
    await own_nats.stop()
    async with own_http.post(START, json=BODY) as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        problem = await answer.json()
    assert (problem["code"], problem["workflowId"]) == ("start_not_confirmed", "one")
    await own_nats.start()
    await ready(own_http)
    assert (await own_http.get("/api/workflows/one")).status == 404
    for stream in (subjects.workflows_stream("player"), subjects.STATUS_STREAM):
        assert (await jetstream(own_client).stream_info(stream)).state.messages == 0
    assert (await own_http.post(START, json=BODY)).status == 202


@pytest.mark.rule("engine-15", "http-start")
@pytest.mark.parametrize(("key", "expected"), [("order-1", 202), (None, 409)])
async def test_a_start_whose_command_could_not_be_stored_is_repeated_with_the_id_it_was_told(
    own_http: Http, own_client: Client, make_gateway: MakeGateway, key: str | None, expected: int
) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}
    stream = subjects.workflows_stream("player")
    # The status key can be created, and then there is nothing that takes the command.
    await jetstream(own_client).delete_stream(stream)
    body = {"playerId": BODY["playerId"]}
    async with own_http.post(START, json=body, headers=headers) as answer:
        assert answer.status == 503
        workflow_id = (await answer.json())["workflowId"]
    again = await make_gateway(own_client)
    repeated = {**body, "id": workflow_id} if key is None else body
    assert (await again.post(START, json=repeated, headers=headers)).status == expected
    info = await jetstream(own_client).stream_info(stream)
    assert info.state.messages == 1


@pytest.mark.rule("http-batch")
async def test_a_batch_while_nats_is_away_is_503_and_names_every_id(
    own_http: Http, own_nats: EmbeddedNats
) -> None:
    await own_nats.stop()
    batch = {"instances": [{**BODY, "id": "a"}, {**BODY, "id": "b"}]}
    async with own_http.post(f"{START}/batch", json=batch) as answer:
        assert answer.status == 503
        assert "a, b" in (await answer.json())["detail"]


@pytest.mark.rule("http-status", "http-problems")
@pytest.mark.parametrize("path", ["/api/workflows/one", f"/api/players/{uuid4()}"])
async def test_reading_while_nats_is_away_is_503_with_retry_after(
    own_http: Http, own_nats: EmbeddedNats, path: str
) -> None:
    await own_nats.kill()
    async with own_http.get(path) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.rule("http-health")
async def test_health_is_open_and_only_readiness_follows_nats(
    own_http: Http, own_nats: EmbeddedNats
) -> None:
    own_http.session.headers.pop("Authorization")
    for path in ("/healthz", "/startupz", "/readyz"):
        async with own_http.get(path) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/health+json"
            assert (await answer.json())["status"] == "pass"
    await own_nats.stop()
    async with own_http.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (503, "fail")
    assert (await own_http.get("/healthz")).status == 200


@pytest.mark.rule("http-health")
async def test_metrics_are_open_and_count_requests_by_route_not_by_address(http: Http) -> None:
    await http.get("/api/workflows/no-such-workflow")
    http.session.headers.pop("Authorization")
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert 'route="/api/workflows/{id}"' in text
    assert "no-such-workflow" not in text


async def test_an_answer_carries_the_callers_request_id_or_a_new_one(http: Http) -> None:
    given = await http.get("/healthz", headers={"X-Request-Id": "mine-1"})
    assert given.headers["X-Request-Id"] == "mine-1"
    made = await http.get("/healthz", headers={"X-Request-Id": "not one"})
    assert made.headers["X-Request-Id"] != "not one"


@asynccontextmanager
async def gateway_process(environment: Mapping[str, str]) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env={**os.environ, **environment},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def logged(process: Process, event: str) -> None:
    """Returns once the process has logged the event."""
    assert process.stdout is not None
    async with asyncio.timeout(BOUND_SECONDS):
        while line := await process.stdout.readline():
            if msgspec.json.decode(line)["event"] == event:
                return
    raise AssertionError(f"the process ended without {event}")


@pytest.mark.rule("http-health")
async def test_sigterm_lets_the_request_in_flight_finish_and_the_process_end(
    own_nats: EmbeddedNats, own_client: Client
) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        asked.set()
        await released.wait()
        return b"{}"

    server = RequestServer(own_client, "player", {subjects.query("player", "player"): answer})
    await server.start()
    port = free_port()
    environment = {
        "NATS_URL": own_nats.url,
        "HTTP_PORT": str(port),
        "API_KEY": "key",
    }
    async with gateway_process(environment) as process, ClientSession() as session:
        await logged(process, "gateway_started")
        request = asyncio.create_task(
            session.get(
                f"http://127.0.0.1:{port}/api/players/{uuid4()}",
                headers={"Authorization": "Bearer key"},
            )
        )
        await asked.wait()
        process.send_signal(signal.SIGTERM)
        await logged(process, "gateway_draining")
        released.set()
        assert (await request).status == 200
        assert await process.wait() == 0
    await server.stop()


async def test_a_gateway_without_its_settings_says_all_that_it_misses() -> None:
    async with gateway_process({"NATS_URL": "", "API_KEY": ""}) as process:
        _, errors = await process.communicate()
        assert process.returncode == 2
    assert b"NATS_URL is not set" in errors
    assert b"API_KEY is not set" in errors
