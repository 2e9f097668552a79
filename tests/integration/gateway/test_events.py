"""An instance is watched from any state to its end, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client
from prometheus_client import REGISTRY

from services.gateway.app import create_app, ensure
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.rights import users
from shared.jetstream.status import JetStreamStatusBucket
from shared.jetstream.topology import kinds_by_service
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Status, StatusDocument, StepStatus
from shared.runtime.config import Secret
from shared.runtime.embedded.nats import EmbeddedNats
from shared.testing.clocks import ManualClock
from shared.testing.servers import embedded_nats
from shared.workflow.records import InstanceKey
from tests.integration.gateway.conftest import API_KEY, MakeGateway

Http = TestClient[Request, Application]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVENTS = "/api/workflows/one/events"
BOUND_SECONDS = 30
BIG = "x" * 200_000


class Event(NamedTuple):
    """What a client got."""

    id: str
    data: dict[str, Any]

    @property
    def order(self) -> list[int]:
        return [int(each) for each in self.id.split(".")]


async def put(
    client: Client,
    version: int,
    *,
    status: Status = Status.RUNNING,
    generation: int = 1,
    workflow_id: str = "one",
    kind: str = "player",
    note: str = "",
) -> None:
    """What a service does after its commit: each version has one step more."""
    document = StatusDocument(
        workflow_id=workflow_id,
        kind=kind,
        status=status,
        created_at=NOON,
        updated_at=NOON,
        steps=tuple(
            StepStatus(name=f"step-{n}", status="complete", attempts=1, started_at=NOON)
            for n in range(version)
        ),
        output=msgspec.Raw(encode({"note": note}).replace(b",", b",\n")),
        generation=generation,
        version=version,
    )
    key = InstanceKey(kind, workflow_id)
    await JetStreamStatusBucket(client).put(key, encode(document), document.order, None)


async def pieces(answer: ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Each event, comment or hint, by its fields."""
    fields: dict[str, str] = {}
    async for line in answer.content:
        name, colon, value = line.decode().rstrip("\n").partition(":")
        if not colon:
            yield fields
            fields = {}
        else:
            fields[name or "comment"] = value.removeprefix(" ")


async def events(answer: ClientResponse) -> AsyncIterator[Event]:
    async for fields in pieces(answer):
        if "data" in fields:
            assert fields["event"] == "status"
            yield Event(fields["id"], msgspec.json.decode(fields["data"]))


@asynccontextmanager
async def watching(
    http: Http, path: str = EVENTS, last: str | None = None
) -> AsyncGenerator[ClientResponse]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with asyncio.timeout(BOUND_SECONDS), http.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield answer


def interruptions() -> float:
    return REGISTRY.get_sample_value("gateway_status_feed_interruptions_total") or 0


async def interrupted(since: float) -> None:
    """Returns once the feed has noticed; it is told nowhere but in the metric."""
    async with asyncio.timeout(BOUND_SECONDS):
        while interruptions() == since:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.rule("http-events")
async def test_a_client_gets_the_present_status_at_once_each_newer_one_and_the_end_last(
    http: Http, nats_client: Client
) -> None:
    await put(nats_client, 1)
    async with watching(http) as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["X-Request-Id"]
        stream = events(answer)
        seen = [await anext(stream)]
        for version in (2, 3):
            await put(nats_client, version)
            await put(nats_client, version, workflow_id="other")
            seen.append(await anext(stream))
        await put(nats_client, 4, status=Status.COMPLETE)
        seen += [event async for event in stream]
    assert [event.id for event in seen] == ["1.1.0", "1.2.0", "1.3.0", "1.4.0"]
    assert [event.data["status"] for event in seen] == ["running"] * 3 + ["complete"]
    assert [len(event.data["steps"]) for event in seen] == [1, 2, 3, 4]
    assert "version" not in seen[0].data


@pytest.mark.rule("http-events")
async def test_who_comes_again_gets_what_is_newer_and_nothing_twice(
    http: Http, nats_client: Client, make_gateway: MakeGateway
) -> None:
    another = await make_gateway(nats_client)
    for version, gateway in ((5, http), (6, another)):
        await put(nats_client, version)
        async with watching(gateway, last=f"1.{version - 1}.0") as answer:
            assert (await anext(events(answer))).id == f"1.{version}.0"
    for version, gateway in ((7, http), (8, another)):
        async with watching(gateway, last=f"1.{version - 1}.0") as answer:
            waiting = asyncio.ensure_future(anext(events(answer)))
            # Nothing was said of what is there already.
            await put(nats_client, version)
            assert (await waiting).id == f"1.{version}.0"
    await put(nats_client, 9, status=Status.ERRORED)
    async with watching(another, last="1.8.0") as answer:
        assert [event.id async for event in events(answer)] == ["1.9.0"]
    # A browser comes again after every end, until it is told not to.
    async with another.get(EVENTS, headers={"Last-Event-ID": "1.9.0"}) as answer:
        assert answer.status == 204
    await put(nats_client, 10)
    async with watching(another, last="1.9.0") as answer:
        assert (await anext(events(answer))).id == "1.10.0"


@pytest.mark.rule("http-events")
@pytest.mark.parametrize(
    ("path", "last", "expected", "field"),
    [
        ("/api/workflows/absent/events", None, 404, None),
        ("/api/workflows/-/events", None, 400, "id"),
        (f"{EVENTS}?kind=absent", None, 404, None),
        (EVENTS, None, 422, "kind"),
        (f"{EVENTS}?kind=player", "1.2", 422, "Last-Event-ID"),
        (f"{EVENTS}?kind=player", "one", 422, "Last-Event-ID"),
    ],
)
async def test_what_cannot_be_watched_is_a_problem(
    http: Http, nats_client: Client, path: str, last: str | None, expected: int, field: str | None
) -> None:
    await put(nats_client, 1)
    await put(nats_client, 1, kind="system")
    headers = {} if last is None else {"Last-Event-ID": last}
    async with http.get(path, headers=headers) as answer:
        problem = await answer.json()
    assert (problem["status"], problem.get("field")) == (expected, field)


@pytest.mark.rule("http-events")
async def test_head_answers_what_get_would_and_ends(http: Http, nats_client: Client) -> None:
    await put(nats_client, 1)
    async with asyncio.timeout(BOUND_SECONDS), http.head(EVENTS) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
    async with http.post(EVENTS) as answer:
        assert answer.status == 405


@pytest.mark.rule("http-events")
async def test_a_kill_of_nats_loses_no_client_and_no_end(
    own_nats: EmbeddedNats, clock: ManualClock
) -> None:
    writer = await connect(own_nats.url, "writer")
    reader = await connect(own_nats.url, "gateway")
    await ensure(reader)
    server = TestServer(create_app(reader, Secret(API_KEY), clock))
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with TestClient(server, headers=headers) as http:
        await put(writer, 1)
        async with watching(http) as first, watching(http) as second:
            streams = [events(first), events(second)]
            seen = [[await anext(stream)] for stream in streams]
            before = interruptions()
            await own_nats.kill()
            await own_nats.start()
            await put(writer, 2)
            for stream, found in zip(streams, seen, strict=True):
                found.append(await anext(stream))
            await interrupted(before)
            await put(writer, 3, status=Status.COMPLETE)
            for stream, found in zip(streams, seen, strict=True):
                found += [event async for event in stream]
    for found in seen:
        orders = [event.order for event in found]
        assert orders == sorted(orders)
        assert len({event.id for event in found}) == len(found)
        assert [event.data["status"] for event in found].count("complete") == 1
        assert (found[-1].id, len(found[-1].data["steps"])) == ("1.3.0", 3)
    await writer.close()
    await reader.close()


@pytest.mark.rule("http-events")
async def test_the_loss_of_the_bucket_shows_nothing_older_and_what_recovery_puts(
    http: Http, nats_client: Client
) -> None:
    await put(nats_client, 7)
    async with watching(http) as answer:
        stream = events(answer)
        assert (await anext(stream)).id == "1.7.0"
        before = interruptions()
        await jetstream(nats_client).delete_stream(subjects.STATUS_STREAM)
        await interrupted(before)
        await ensure(nats_client)
        await put(nats_client, 3)
        await put(nats_client, 7, generation=2)
        assert (await anext(stream)).id == "2.7.0"
        await put(nats_client, 8, generation=2, status=Status.TERMINATED)
        assert [event.id async for event in stream] == ["2.8.0"]


@pytest.mark.rule("http-events")
async def test_a_slow_client_gets_the_newest_and_the_end_and_costs_one_document(
    http: Http, nats_client: Client
) -> None:
    count = 160
    await put(nats_client, 1)
    async with watching(http) as slow, watching(http) as quick:
        stream, others = events(slow), events(quick)
        seen = [await anext(stream)]
        await anext(others)
        for version in range(2, count):
            await put(nats_client, version, note=BIG)
            # The gateway has it, and has offered it to both.
            assert (await anext(others)).order == [1, version, 0]
        await put(nats_client, count, status=Status.COMPLETE, note=BIG)
        assert [event.id async for event in others] == [f"1.{count}.0"]
        seen += [event async for event in stream]
    orders = [event.order for event in seen]
    assert orders == sorted(orders)
    # What the sockets between them hold, and the last: all others were passed by.
    assert len(seen) < count / 2
    assert (orders[-1], seen[-1].data["status"]) == ([1, count, 0], "complete")


@pytest.mark.rule("http-events")
async def test_a_gateway_that_ends_ends_its_streams_with_a_hint_and_another_goes_on(
    nats_client: Client, clock: ManualClock, http: Http
) -> None:
    await put(nats_client, 1)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    server = TestServer(create_app(nats_client, Secret(API_KEY), clock))
    async with TestClient(server, headers=headers) as ending, watching(ending) as answer:
        stream = pieces(answer)
        hint, first = await anext(stream), await anext(stream)
        assert (hint, first["id"]) == ({"retry": "1000"}, "1.1.0")
        closing = asyncio.ensure_future(server.close())
        [last] = [fields async for fields in stream]
        assert 1000 <= int(last["retry"]) < 2000
        await closing
    async with watching(http, last=first["id"]) as answer:
        await put(nats_client, 2, status=Status.COMPLETE)
        assert [event.id async for event in events(answer)] == ["1.2.0"]


@pytest.mark.rule("http-events")
async def test_the_gateways_own_nats_user_may_follow(clock: ManualClock) -> None:
    known = users(kinds_by_service())
    async with embedded_nats(authorization(known, lambda _: quoted(API_KEY))) as server:
        client = await connect(server.url_as("gateway", API_KEY), "gateway")
        writer = await connect(server.url_as("player", API_KEY), "player")
        await ensure(client)
        await put(writer, 1)
        app = create_app(client, Secret(API_KEY), clock)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with TestClient(TestServer(app), headers=headers) as http, watching(http) as answer:
            stream = events(answer)
            assert (await anext(stream)).id == "1.1.0"
            await put(writer, 2, status=Status.COMPLETE)
            assert [event.id async for event in stream] == ["1.2.0"]
        await writer.close()
        await client.close()
