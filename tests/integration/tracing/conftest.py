"""The gateway and the player service in process on real servers, with their spans kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.gateway.app import create_app, ensure
from services.player.app import service as player_service
from shared.jetstream.connection import close, connect
from shared.messages import subjects
from shared.runtime.clocks import SystemClock
from shared.runtime.config import Secret, load
from shared.runtime.definition import ServiceSettings
from shared.runtime.service import Service
from shared.testing.tracing import Spans, recorded_spans
from tests.integration.docs.wire import Wire

MakeDatabase = Callable[[str], Awaitable[str]]

API_KEY = "correct-horse-battery-staple"
PATIENCE_SECONDS = 30.0


class System:
    """What a caller and a bare client see of it, and its spans."""

    def __init__(
        self,
        http: TestClient[Request, Application],
        client: Client,
        wire: Wire,
        events: Subscription,
        spans: Spans,
        service: Service,
    ):
        self.http = http
        self.client = client
        self.wire = wire
        self.spans = spans
        self._events = events
        self._service = service
        self._running = asyncio.create_task(service.run())

    async def event(self, name: str) -> Msg:
        """The next event of this name."""
        while True:
            message = await self._events.next_msg(timeout=PATIENCE_SECONDS)
            if message.subject == subjects.event("player", name):
                return message

    async def stop(self) -> None:
        """Drains the service, so that every span has ended."""
        self._service.stop()
        assert await self._running is None


@pytest.fixture
async def system(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[System]:
    """It is up and takes what is sent to it."""
    settings = load(
        ServiceSettings,
        {
            "NATS_URL": nats_url,
            "DATABASE_URL": await make_database("player"),
            "HTTP_PORT": "0",
        },
    )
    async with AsyncExitStack() as stack:
        spans = stack.enter_context(recorded_spans())
        client = await connect(nats_url, "test")
        stack.push_async_callback(close, client)
        await ensure(client)
        wire = Wire(client)
        await wire.listen()
        server = TestServer(create_app(client, Secret(API_KEY), SystemClock()))
        http = TestClient(server, headers={"Authorization": f"Bearer {API_KEY}"})
        await stack.enter_async_context(http)
        events = await client.subscribe(subjects.event("player", ">"))
        system = System(http, client, wire, events, spans, Service(player_service(), settings))
        stack.push_async_callback(system.stop)
        # The wake of nobody, acknowledged once the service takes messages and requests.
        await wire.publish(subjects.wake("player"), b'{"id": "nobody"}')
        yield system
