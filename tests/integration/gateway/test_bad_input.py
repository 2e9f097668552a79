"""What the gateway refuses: each with the reason and the field, and nothing stored."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from shared.jetstream.connection import jetstream
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES

Http = TestClient[Request, Application]

JSON = {"Content-Type": "application/json"}
START = "/api/workflows/player"
PLAYER = str(uuid4())
TRIGGER = f'{{"playerId":"{PLAYER}"}}'


async def refused(http: Http, path: str, body: bytes | str, headers: Any = JSON) -> dict[str, Any]:
    data = BytesIO(body.encode() if isinstance(body, str) else body)
    async with http.post(path, data=data, headers=headers) as answer:
        assert answer.content_type == "application/problem+json"
        problem: dict[str, Any] = await answer.json()
    assert problem["status"] == answer.status
    assert problem["type"].endswith(problem["code"])
    return problem


async def assert_nothing_stored(client: Client) -> None:
    for stream in (subjects.workflows_stream("player"), subjects.STATUS_STREAM):
        assert (await jetstream(client).stream_info(stream)).state.messages == 0


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    "body",
    ["", "{", "nonsense", '{"playerId":', b"\xff", b'{"playerId":"\xff"}', "[" * 100_000],
    ids=["nothing", "cut", "no JSON", "half", "no text", "no UTF-8", "too deep"],
)
async def test_malformed_json_is_refused(
    http: Http, nats_client: Client, body: bytes | str
) -> None:
    problem = await refused(http, START, body)
    assert problem["status"] in {400, 422}
    await assert_nothing_stored(nats_client)


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "playerId"),
        ('{"playerId": 5}', "playerId"),
        ('{"playerId": "x"}', "playerId"),
        (f'{{"playerId":"{PLAYER}","id":"with space"}}', "id"),
        (f'{{"playerId":"{PLAYER}","id":""}}', "id"),
        (f'{{"playerId":"{PLAYER}","id":"a.b"}}', "id"),
        (f'{{"playerId":"{PLAYER}","id":"one\\n"}}', "id"),
        (f'{{"playerId":"{PLAYER}","id":"{"x" * 101}"}}', "id"),
        (f'{{"playerId":"{PLAYER}","startAt":"tomorrow"}}', "startAt"),
        (f'{{"playerId":"{PLAYER}","startAt":"2026-03-01T08:00:00"}}', "startAt"),
        ("[]", None),
        ("null", None),
        ("7", None),
    ],
)
async def test_another_shape_is_refused_with_the_field_named(
    http: Http, nats_client: Client, body: str, field: str | None
) -> None:
    problem = await refused(http, START, body)
    assert (problem["status"], problem.get("field")) == (422, field)
    await assert_nothing_stored(nats_client)


@pytest.mark.rule("http-problems")
async def test_an_unknown_kind_is_refused_with_the_known_ones_named(http: Http) -> None:
    problem = await refused(http, "/api/workflows/plumber", TRIGGER)
    assert problem["status"] == 404
    assert "player" in problem["detail"]


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data"])
async def test_another_media_type_is_refused(http: Http, content_type: str) -> None:
    assert (await refused(http, START, TRIGGER, {"Content-Type": content_type}))["status"] == 415


@pytest.mark.parametrize("key", ["", "with space", "ünïcode", "x" * 201])
async def test_an_idempotency_key_that_nats_could_not_carry_is_refused(
    http: Http, nats_client: Client, key: str
) -> None:
    problem = await refused(http, START, TRIGGER, {**JSON, "Idempotency-Key": key})
    assert (problem["status"], problem["field"]) == (422, "Idempotency-Key")
    await assert_nothing_stored(nats_client)


def padded(size: int, workflow_id: str) -> str:
    """A trigger of exactly so many bytes, as it will be published."""
    frame = f'{{"id":"{workflow_id}","padding":"","playerId":"{PLAYER}"}}'
    return frame.replace('"padding":""', f'"padding":"{"x" * (size - len(frame))}"')


@pytest.mark.rule("engine-30", "http-problems")
async def test_a_body_of_exactly_one_mebibyte_with_long_headers_is_accepted(
    http: Http, nats_client: Client
) -> None:
    headers = {**JSON, "Idempotency-Key": "k" * 200}
    async with http.post(START, data=padded(MAX_CONTENT_BYTES, "big"), headers=headers) as answer:
        assert answer.status == 202
    assert nats_client.is_connected
    info = await jetstream(nats_client).stream_info(subjects.workflows_stream("player"))
    assert info.state.messages == 1


@pytest.mark.rule("engine-30", "http-problems")
async def test_a_body_a_byte_over_one_mebibyte_is_refused_and_closes_no_connection(
    http: Http, nats_client: Client
) -> None:
    problem = await refused(http, START, padded(MAX_CONTENT_BYTES + 1, "big"))
    assert problem["status"] == 413
    await assert_nothing_stored(nats_client)
    assert nats_client.stats["reconnects"] == 0


@pytest.mark.rule("engine-30", "http-problems")
async def test_a_body_that_outgrows_the_limit_only_with_its_id_is_refused(
    http: Http, nats_client: Client
) -> None:
    frame = f'{{"padding":"","playerId":"{PLAYER}"}}'
    body = frame.replace('""', f'"{"x" * (MAX_CONTENT_BYTES - len(frame))}"', 1)
    assert (await refused(http, START, body))["status"] == 413
    await assert_nothing_stored(nats_client)


@pytest.mark.rule("http-access")
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic abc", "bearer ünïcode"]
)
async def test_nobody_enters_without_the_key(
    http: Http, nats_client: Client, authorization: str | None
) -> None:
    http.session.headers.pop("Authorization")
    headers = {**JSON} if authorization is None else {**JSON, "Authorization": authorization}
    async with http.post(START, data=TRIGGER, headers=headers) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    await assert_nothing_stored(nats_client)


@pytest.mark.rule("http-problems")
@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/nowhere", 404), ("DELETE", START, 405), ("PUT", "/api/players", 405)],
)
async def test_an_address_or_method_that_is_not_there_is_a_problem_document_too(
    http: Http, method: str, path: str, expected: int
) -> None:
    async with http.request(method, path) as answer:
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["status"] == answer.status == expected
        assert ("Allow" in answer.headers) == (expected == 405)
