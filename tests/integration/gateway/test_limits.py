"""What the gateway does not take: too often, too much, too slow, from elsewhere, too far behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import uuid4

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.credentials.access import Access
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.topology import ensure_consumers
from shared.messages import subjects
from shared.runtime.embedded.nats import EmbeddedNats
from tests.integration.gateway.issuing import issuing

Http = TestClient[Request, Application]
MakeGatewayWith = Callable[[Client, Access], Awaitable[Http]]

BOUND_SECONDS = 20.0
START = "/api/workflows/player"
ORIGIN = "https://game.example"


def start() -> dict[str, str]:
    return {"playerId": str(uuid4())}


@pytest.mark.rule("http-rate")
async def test_a_credential_that_asks_too_often_is_told_when_to_come_again(
    nats_client: Client, make_gateway_with: MakeGatewayWith
) -> None:
    async with issuing() as issuer:
        access = Access(issuer=issuer.issuer, rate_per_second=0.01)
        http = await make_gateway_with(nats_client, access)
        one = {"Authorization": f"Bearer {issuer.token()}"}
        other = {"Authorization": f"Bearer {issuer.token(sub='user-2')}"}
        path = "/api/workflows/nobody"
        assert (await http.get(path, headers=one)).status == 404
        async with http.get(path, headers=one) as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 100
            assert (await answer.json())["code"] == "too_many_requests"
        assert (await http.get(path, headers=other)).status == 404
        # The operator's own key is not counted.
        assert [(await http.get(path)).status for _ in range(5)] == [404] * 5


@pytest.mark.rule("http-backpressure")
async def test_a_service_far_behind_is_given_no_more_and_the_others_are(
    nats_client: Client, make_gateway_with: MakeGatewayWith
) -> None:
    http = await make_gateway_with(nats_client, Access(max_waiting_starts=3))
    await ensure_consumers(jetstream(nats_client), "player", ["player"])
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            async with http.post(START, json=start()) as answer:
                if answer.status == 429:
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert (await answer.json())["code"] == "backlogged"
                    break
                assert answer.status == 202
    batch = {"instances": [start()]}
    assert (await http.post(f"{START}/batch", json=batch)).status == 429
    customer = {"customerId": str(uuid4())}
    assert (await http.post("/api/workflows/customer", json=customer)).status == 202
    # What is refused has left nothing behind: no status key without its start.
    assert (await http.post(START, json={**start(), "id": "late"})).status == 429
    assert (await http.get("/api/workflows/late")).status == 404

    await jetstream(nats_client).purge_stream(subjects.workflows_stream("player"))
    async with asyncio.timeout(BOUND_SECONDS):
        while (await http.post(START, json={**start(), "id": "late"})).status != 202:
            pass


@pytest.mark.rule("http-backpressure")
async def test_a_backlog_that_cannot_be_read_holds_nobody_up(
    nats_client: Client, make_gateway_with: MakeGatewayWith
) -> None:
    # No consumer was ever made: the service has never run.
    http = await make_gateway_with(nats_client, Access(max_waiting_starts=1))
    statuses = [(await http.post(START, json=start())).status for _ in range(20)]
    assert statuses == [202] * 20


@pytest.mark.rule("http-limits")
async def test_who_sends_a_body_too_slowly_is_cut_off(
    nats_client: Client, make_gateway_with: MakeGatewayWith
) -> None:
    http = await make_gateway_with(nats_client, Access(body_seconds=0.2))
    reader, writer = await asyncio.open_connection(http.host, http.port)
    key = http.session.headers["Authorization"]
    writer.write(
        f"POST {START} HTTP/1.1\r\nHost: any\r\nAuthorization: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
    )
    async with asyncio.timeout(BOUND_SECONDS):
        answer = await reader.readuntil(b"request_timeout")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.rule("http-limits")
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Long": "a" * 9_000},
        {f"X-{number}": "a" for number in range(200)},
    ],
    ids=["long", "many"],
)
async def test_headers_beyond_the_limits_are_refused(http: Http, headers: dict[str, str]) -> None:
    async with http.get("/healthz", headers=headers) as answer:
        assert answer.status == 400


@pytest.mark.rule("http-limits")
async def test_a_body_beyond_the_limit_is_refused_also_in_pieces(http: Http) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = {"Content-Type": "application/json"}
    async with http.post(START, data=pieces(), headers=headers) as answer:
        assert answer.status == 413


@pytest.mark.rule("http-limits")
async def test_no_web_page_calls_unless_its_origin_is_set(
    nats_client: Client, http: Http, make_gateway_with: MakeGatewayWith
) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    open_to = await make_gateway_with(nats_client, Access(cors_origins=frozenset({ORIGIN})))
    open_to.session.headers.pop("Authorization")
    async with open_to.options(START, headers=asked) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    async with open_to.post(START, json=start(), headers={"Origin": ORIGIN}) as answer:
        # Also an error is for the page to read.
        assert answer.status == 401
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    for elsewhere in ("https://evil.example", "null", f"{ORIGIN}.evil.example"):
        async with open_to.options(START, headers={**asked, "Origin": elsewhere}) as answer:
            assert answer.status == 401
            assert "Access-Control-Allow-Origin" not in answer.headers
    async with http.options(START, headers=asked) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.rule("http-limits")
async def test_a_start_while_nats_is_away_is_503_and_leaves_nothing(
    own_nats: EmbeddedNats, make_gateway_with: MakeGatewayWith
) -> None:
    client = await connect(own_nats.url, "test")
    http = await make_gateway_with(client, Access())
    await own_nats.stop()
    async with http.post(START, json={**start(), "id": "one"}) as answer:
        assert answer.status == 503
    await own_nats.start()
    async with asyncio.timeout(BOUND_SECONDS):
        while (await http.get("/readyz")).status != 200:
            pass
        status = (await http.get("/api/workflows/one")).status
    assert status == 404
    stream = await jetstream(client).stream_info(subjects.workflows_stream("player"))
    assert stream.state.messages == 0
    await client.close()
