"""The gateway in process, on a real nats-server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.gateway.app import create_app, ensure
from services.gateway.credentials.access import Access
from shared.jetstream.connection import connect
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock

API_KEY = "correct-horse-battery-staple"

Http = TestClient[Request, Application]
MakeGateway = Callable[[Client], Awaitable[Http]]
MakeGatewayWith = Callable[[Client, Access], Awaitable[Http]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def nats_client(nats_url: str) -> AsyncIterator[Client]:
    client = await connect(nats_url, "test")
    yield client
    await client.close()


@pytest.fixture
async def make_gateway_with(clock: ManualClock) -> AsyncIterator[MakeGatewayWith]:
    """The same as `make_gateway`, with more than the defaults of who is let in."""
    async with AsyncExitStack() as stack:

        async def make(client: Client, access: Access) -> Http:
            await ensure(client)
            server = TestServer(create_app(client, Secret(API_KEY), clock, access=access))
            headers = {"Authorization": f"Bearer {API_KEY}"}
            return await stack.enter_async_context(TestClient(server, headers=headers))

        yield make


@pytest.fixture
def make_gateway(make_gateway_with: MakeGatewayWith) -> MakeGateway:
    """`http = await make_gateway(client)`: an HTTP client of a gateway on that connection."""

    async def make(client: Client) -> Http:
        return await make_gateway_with(client, Access())

    return make


@pytest.fixture
async def http(nats_client: Client, make_gateway: MakeGateway) -> Http:
    """A gateway on the shared nats-server."""
    return await make_gateway(nats_client)
