"""A player service as documented: on real servers, watched on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID

import pytest

from services.player.app import service as player_service
from shared.jetstream import topology
from shared.jetstream.connection import close, connect, jetstream
from shared.messages.workflows import StartPlayer
from shared.runtime.config import load
from shared.runtime.definition import ServiceSettings
from shared.runtime.service import Service
from shared.workflow.crons import Cron
from tests.integration.docs.wire import Wire

NOBODY = UUID("00000000-0000-4000-8000-000000000000")
"""A run of the page's own player would clean up the old sessions that the page asks for."""
NIGHTLY = Cron("nightly", StartPlayer(player_id=NOBODY), "0 3 * * *", "Europe/Berlin")

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
        definition = replace(player_service(), crons=[NIGHTLY], crons_revision=1)
        service = Service(definition, settings)
        running = asyncio.create_task(service.run())
        # The wake of nobody, acknowledged once the service takes messages and requests.
        await wire.publish("workflows.player.wake", b'{"id": "nobody"}')
        yield wire
        service.stop()
        assert await running is None
