"""Requests between services, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from nats.aio.client import Client

from shared.jetstream.connection import connect
from shared.jetstream.requests import Answer, Requests, RequestServer, Unavailable
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.problems import Refused
from shared.messages.workflows import Accepted, InstanceQuery
from shared.workflow.errors import Transient

SUBJECT = subjects.query("player", "instance")
QUERY = InstanceQuery(kind="player", id="one")


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    connected = await connect(nats_url, "test")
    yield connected
    await connected.close()


def serving(client: Client, answer: Answer, *, max_in_flight: int = 20) -> RequestServer:
    return RequestServer(client, "player", {SUBJECT: answer}, max_in_flight=max_in_flight)


def failing(error: Exception) -> Answer:
    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        raise error

    return answer


async def echo(body: bytes, headers: Mapping[str, str]) -> bytes:
    return encode(Accepted(workflow_id=f"{body.decode()} by {headers[subjects.ACTOR]}"))


async def ask(client: Client) -> Accepted:
    return await Requests(client).request(SUBJECT, QUERY, Accepted, {subjects.ACTOR: "api"})


async def test_a_request_reaches_the_handler_with_its_headers_and_is_answered(
    client: Client,
) -> None:
    server = serving(client, echo)
    await server.start()
    assert (await ask(client)).workflow_id == '{"kind":"player","id":"one"} by api'
    await server.stop()


async def test_requests_of_one_subject_do_not_wait_for_each_other(client: Client) -> None:
    together = asyncio.Barrier(5)

    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        await together.wait()
        return encode(Accepted(workflow_id="met"))

    server = serving(client, answer)
    await server.start()
    answers = await asyncio.gather(*(ask(client) for _ in range(5)))
    assert [each.workflow_id for each in answers] == ["met"] * 5
    await server.stop()


async def test_a_refusal_arrives_as_it_was_raised(client: Client) -> None:
    server = serving(client, failing(Refused("poor", "no coins", status=409, field="coins")))
    await server.start()
    with pytest.raises(Refused, match="no coins") as refused:
        await ask(client)
    assert (refused.value.code, refused.value.status, refused.value.field) == ("poor", 409, "coins")
    await server.stop()


async def test_an_unexpected_error_is_a_500_that_tells_nothing(client: Client) -> None:
    server = serving(client, failing(RuntimeError("a secret")))
    await server.start()
    with pytest.raises(Refused) as refused:
        await ask(client)
    assert refused.value.status == 500
    assert "secret" not in refused.value.detail
    await server.stop()


async def test_trouble_of_the_servers_database_is_unavailable(client: Client) -> None:
    server = serving(client, failing(Transient("gone")))
    await server.start()
    with pytest.raises(Unavailable):
        await ask(client)
    await server.stop()


async def test_a_request_that_nobody_takes_was_certainly_not_carried_out(client: Client) -> None:
    with pytest.raises(Unavailable) as unavailable:
        await ask(client)
    assert unavailable.value.carried_out is False


async def test_a_request_without_answer_may_have_been_carried_out(client: Client) -> None:
    released = asyncio.Event()

    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        await released.wait()
        return b"{}"

    server = serving(client, answer)
    await server.start()
    with pytest.raises(Unavailable) as unavailable:
        await Requests(client).send(SUBJECT, b"{}", timeout_seconds=0.05)
    assert unavailable.value.carried_out is None
    released.set()
    await server.stop()


@pytest.mark.rule("engine-30")
async def test_a_reply_over_the_servers_limit_is_told_and_closes_no_connection(
    client: Client,
) -> None:
    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        return b"x" * client.max_payload

    server = serving(client, answer)
    await server.start()
    with pytest.raises(Refused) as refused:
        await ask(client)
    assert refused.value.code == "reply_too_large"
    assert client.stats["reconnects"] == 0
    await server.stop()


async def test_stopping_answers_what_is_in_flight_and_takes_nothing_more(client: Client) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def answer(body: bytes, headers: Mapping[str, str]) -> bytes:
        asked.set()
        await released.wait()
        return encode(Accepted(workflow_id="done"))

    server = serving(client, answer)
    await server.start()
    request = asyncio.create_task(ask(client))
    await asked.wait()
    stopping = asyncio.create_task(server.stop())
    released.set()
    assert (await request).workflow_id == "done"
    await stopping
    with pytest.raises(Unavailable):
        await ask(client)
