"""The catalogue and the plans through their caches: no old answer again, and never another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway import caching
from services.gateway.app import create_app
from services.gateway.caching import CachedRequests
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.requests import RequestServer
from shared.messages import subjects
from shared.messages.maintenance import CacheName
from shared.messages.problems import Refused
from shared.runtime.config import Secret
from shared.runtime.embedded.nats import EmbeddedNats
from shared.testing.clocks import ManualClock
from shared.testing.memory_cache import MemoryCache
from shared.workflow.errors import Transient
from tests.integration.gateway.conftest import API_KEY

Http = TestClient[Request, Application]
OPEN = {"Authorization": f"Bearer {API_KEY}"}
ONE = {"id": "one", "name": "One", "type": "level", "threshold": 3}


class Reader(NamedTuple):
    """One of the two readers: what it reads, and what changes it."""

    cache: CacheName
    service: str
    path: str
    query: str
    change: tuple[str, str, dict[str, Any]]
    command: str


CATALOGUE = Reader(
    "achievements",
    "player",
    "/api/achievements",
    "queries.player.achievements",
    ("PATCH", "/api/achievements/one", {"hidden": True}),
    "commands.player.update_achievement",
)
PLAN = Reader(
    "plans",
    "billing",
    "/api/plans/pro",
    "queries.billing.plan",
    ("PATCH", "/api/plans/pro", {"limits": {"apiCalls": 5}}),
    "commands.billing.update_plan",
)
READERS = pytest.mark.parametrize("reader", [CATALOGUE, PLAN], ids=lambda each: each.cache)


class Owner:
    """A service that answers with how often it was changed, and can be held while it answers."""

    def __init__(self) -> None:
        self.version = 1
        self.asked = 0
        self.failure: Exception | None = None
        self.holding: asyncio.Event | None = None
        self.released = asyncio.Event()

    async def query(self, body: bytes, _headers: Mapping[str, str]) -> bytes:
        self.asked += 1
        answer = b'{"version": %d, "of": %s}' % (self.version, body)
        if self.failure is not None:
            raise self.failure
        if self.holding is not None:
            # It has read its tables; what happens until the release, it does not know.
            self.holding.set()
            self.holding = None
            await self.released.wait()
        return answer

    async def command(self, _body: bytes, _headers: Mapping[str, str]) -> bytes:
        self.version += 1
        if self.failure is not None:
            raise self.failure
        return b"{}"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


MakeOwner = Callable[[Reader], Awaitable[Owner]]
MakeHttp = Callable[[int], Awaitable[Http]]


@pytest.fixture
def make_owner(nats_client: Client, stack: AsyncExitStack) -> MakeOwner:
    async def make(reader: Reader) -> Owner:
        owner = Owner()
        answers = {reader.query: owner.query, reader.command: owner.command}
        server = RequestServer(nats_client, reader.service, answers)
        await server.start()
        stack.push_async_callback(server.stop)
        return owner

    return make


@pytest.fixture
def make_http(nats_client: Client, stack: AsyncExitStack, clock: ManualClock) -> MakeHttp:
    """`http = await make_http(300)`: a gateway that keeps answers so many seconds."""

    async def make(ttl_seconds: int) -> Http:
        cached = CachedRequests(JetStreamCache(nats_client), ttl_seconds=ttl_seconds)
        app = create_app(nats_client, Secret(API_KEY), clock, cached=cached)
        return await stack.enter_async_context(TestClient(TestServer(app), headers=OPEN))

    return make


@pytest.fixture
async def cached_http(make_http: MakeHttp) -> Http:
    return await make_http(300)


async def version(http: Http, path: str) -> int:
    async with http.get(path) as answer:
        assert answer.status == 200
        found: int = (await answer.json())["version"]
        return found


async def change(http: Http, reader: Reader) -> int:
    method, path, body = reader.change
    async with http.request(method, path, json=body) as answer:
        return answer.status


@READERS
async def test_the_owner_is_asked_once_until_the_gateway_changes_something(
    cached_http: Http, make_http: MakeHttp, make_owner: MakeOwner, reader: Reader
) -> None:
    owner = await make_owner(reader)
    another = await make_http(300)
    assert [await version(http, reader.path) for http in (cached_http, cached_http, another)] == [
        1,
        1,
        1,
    ]
    assert owner.asked == 1

    assert await change(cached_http, reader) == 200

    assert [await version(http, reader.path) for http in (another, cached_http)] == [2, 2]
    assert owner.asked == 2


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_a_reader_that_holds_an_old_value_cannot_write_it_back(
    cached_http: Http, make_owner: MakeOwner, reader: Reader
) -> None:
    owner = await make_owner(reader)
    owner.holding = held = asyncio.Event()
    slow = asyncio.create_task(version(cached_http, reader.path))
    await held.wait()
    await change(cached_http, reader)
    owner.released.set()

    assert await slow == 1
    assert await version(cached_http, reader.path) == 2


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_nor_after_the_bucket_was_lost_and_made_again_meanwhile(
    nats_client: Client, cached_http: Http, make_owner: MakeOwner, reader: Reader
) -> None:
    owner = await make_owner(reader)
    owner.holding = held = asyncio.Event()
    slow = asyncio.create_task(version(cached_http, reader.path))
    await held.wait()
    await jetstream(nats_client).delete_stream(subjects.CACHES_STREAM)
    await change(cached_http, reader)
    assert await version(cached_http, reader.path) == 2
    owner.released.set()

    assert await slow == 1
    assert await version(cached_http, reader.path) == 2
    assert owner.asked == 2


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_a_change_of_which_nobody_knows_whether_it_was_carried_out_invalidates_too(
    cached_http: Http, make_owner: MakeOwner, reader: Reader
) -> None:
    owner = await make_owner(reader)
    assert await version(cached_http, reader.path) == 1
    owner.failure = Refused("unavailable", "try again", status=503)
    assert await change(cached_http, reader) == 503
    owner.failure = None
    assert await version(cached_http, reader.path) == 2


@READERS
async def test_a_change_that_is_refused_and_a_refused_read_leave_the_cache_alone(
    cached_http: Http, make_owner: MakeOwner, reader: Reader
) -> None:
    owner = await make_owner(reader)
    owner.failure = Refused("plan_not_found", "there is none", status=404)
    async with cached_http.get(reader.path) as answer:
        assert answer.status == 404
    owner.failure = None
    assert await version(cached_http, reader.path) == 1
    owner.failure = Refused("plan_in_use", "no", status=409)
    assert await change(cached_http, reader) == 409
    assert await version(cached_http, reader.path) == 1


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_the_bytes_are_the_same_with_the_cache_and_without(
    make_http: MakeHttp, make_owner: MakeOwner, reader: Reader
) -> None:
    await make_owner(reader)
    answers: list[tuple[int, str, bytes]] = []
    for ttl_seconds in (0, 300, 300):
        http = await make_http(ttl_seconds)
        async with http.get(reader.path) as answer:
            answers.append((answer.status, answer.headers["Content-Type"], await answer.read()))
    assert answers == [answers[0]] * 3


async def test_nothing_is_kept_for_zero_seconds(make_http: MakeHttp, make_owner: MakeOwner) -> None:
    owner = await make_owner(PLAN)
    http = await make_http(0)
    assert [await version(http, PLAN.path) for _ in range(2)] == [1, 1]
    assert owner.asked == 2


async def test_another_question_has_another_answer(
    cached_http: Http, make_owner: MakeOwner
) -> None:
    await make_owner(CATALOGUE)
    bodies: list[Any] = []
    for query in ("", "?includeHidden=true", "?includeHidden=false", "?unknown=1"):
        async with cached_http.get(CATALOGUE.path + query) as answer:
            bodies.append((await answer.json())["of"]["includeHidden"])
    assert bodies == [False, True, False, False]


@pytest.mark.rule("http-access")
@READERS
async def test_who_has_no_key_gets_nothing_from_the_cache(
    cached_http: Http, make_owner: MakeOwner, reader: Reader
) -> None:
    await make_owner(reader)
    assert await version(cached_http, reader.path) == 1
    async with cached_http.get(reader.path, headers={"Authorization": "Bearer no"}) as answer:
        assert answer.status == 401


class Away(MemoryCache):
    """A cache in trouble, or one that never answers."""

    def __init__(self, *, hangs: bool) -> None:
        super().__init__()
        self._hangs = hangs

    async def generation(self, namespace: str) -> str:
        if self._hangs:
            await asyncio.Event().wait()
        raise Transient(f"{namespace} is away")

    invalidate = generation


class Full(MemoryCache):
    """A cache that keeps nothing."""

    async def put(
        self, namespace: str, generation: str, key: str, value: bytes, *, ttl_seconds: int
    ) -> None:
        raise Transient("no room")


@pytest.mark.rule("maintenance-cache")
@pytest.mark.parametrize("cache", [Away(hangs=False), Away(hangs=True), Full()])
async def test_cache_trouble_fails_no_read_and_no_change(
    nats_client: Client,
    clock: ManualClock,
    make_owner: MakeOwner,
    monkeypatch: pytest.MonkeyPatch,
    cache: MemoryCache,
) -> None:
    monkeypatch.setattr(caching, "PATIENCE_SECONDS", 0.01)
    owner = await make_owner(PLAN)
    cached = CachedRequests(cache, ttl_seconds=300)
    app = create_app(nats_client, Secret(API_KEY), clock, cached=cached)
    async with TestClient(TestServer(app), headers=OPEN) as http:
        assert await version(http, PLAN.path) == 1
        assert await change(http, PLAN) == 200
        assert await version(http, PLAN.path) == 2
    assert owner.asked == 2


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_reads_go_on_without_jetstreams_bucket_and_nats_and_the_cache_comes_back(
    own_nats: EmbeddedNats, clock: ManualClock, stack: AsyncExitStack, reader: Reader
) -> None:
    client = await connect(own_nats.url, "test")
    stack.push_async_callback(client.close)
    owner = Owner()
    server = RequestServer(
        client, reader.service, {reader.query: owner.query, reader.command: owner.command}
    )
    await server.start()
    stack.push_async_callback(server.stop)
    app = create_app(client, Secret(API_KEY), clock)
    http = await stack.enter_async_context(TestClient(TestServer(app), headers=OPEN))
    assert [await version(http, reader.path) for _ in range(2)] == [1, 1]
    assert owner.asked == 1

    await jetstream(client).delete_stream(subjects.CACHES_STREAM)
    assert [await version(http, reader.path) for _ in range(2)] == [1, 1]
    assert owner.asked == 2

    await own_nats.kill()
    await own_nats.start()
    async with asyncio.timeout(30):
        while True:
            async with http.get(reader.path) as answer:
                if answer.status == 200:
                    break
    assert await change(http, reader) == 200
    assert [await version(http, reader.path) for _ in range(2)] == [2, 2]
    assert owner.asked <= 4
