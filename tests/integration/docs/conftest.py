"""A player service as documented: on real servers, watched on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from services.player.app import service as player_service
from shared.jetstream import topology
from shared.jetstream.connection import close, connect, jetstream
from shared.runtime.config import load
from shared.runtime.definition import ServiceSettings
from shared.runtime.service import Service
from tests.integration.docs.wire import Wire

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
async def database_url(make_database: MakeDatabase) -> str:
    """The database of the service."""
    return await make_database("player")


@pytest.fixture
async def wire(database_url: str, nats_url: str) -> AsyncIterator[Wire]:
    """A bare NATS client, with the service at the other end."""
    settings = load(
        ServiceSettings, {"NATS_URL": nats_url, "DATABASE_URL": database_url, "HTTP_PORT": "0"}
    )
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "docs")
        stack.push_async_callback(close, client)
        await topology.ensure(jetstream(client), "player", ["player"])
        wire = Wire(client)
        await wire.listen()
        service = Service(player_service(), settings)
        running = asyncio.create_task(service.run())
        # The wake of nobody, acknowledged once the service takes messages and requests.
        await wire.publish("workflows.player.wake", b'{"id": "nobody"}')
        yield wire
        service.stop()
        assert await running is None
