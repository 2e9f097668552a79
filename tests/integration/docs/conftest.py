"""Services as documented: on real servers, watched on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from services.billing.app import define as define_billing
from services.billing.config import BillingSettings
from services.maintenance.app import define as define_maintenance
from services.maintenance.config import MaintenanceSettings
from services.player.app import service as player_service
from shared.jetstream import topology
from shared.jetstream.connection import close, connect, jetstream
from shared.messages.workflows import StartPlayer
from shared.runtime.config import load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service
from shared.workflow.crons import Cron
from tests.integration.docs.wire import WEBHOOK_SECRET, Wire

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
    """A bare NATS client, with the player service at the other end."""
    settings = load(
        ServiceSettings, {"NATS_URL": nats_url, "DATABASE_URL": database_url, "HTTP_PORT": "0"}
    )
    definition = replace(player_service(), crons=[NIGHTLY], crons_revision=1)
    async with listening(definition, settings) as wire:
        yield wire


@pytest.fixture
async def billing_wire(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[Wire]:
    """The same with billing, whose payment provider is the sandbox."""
    settings = load(
        BillingSettings,
        {
            "NATS_URL": nats_url,
            "DATABASE_URL": await make_database("billing"),
            "HTTP_PORT": "0",
            "PAYMENT_PROVIDER": "sandbox",
            "SANDBOX_WEBHOOK_SECRET": WEBHOOK_SECRET,
        },
    )
    async with listening(define_billing(settings), settings) as wire:
        yield wire


@pytest.fixture
async def maintenance_wire(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[Wire]:
    """The same with maintenance, alone."""
    settings = load(
        MaintenanceSettings,
        {
            "NATS_URL": nats_url,
            "DATABASE_URL": await make_database("maintenance"),
            "HTTP_PORT": "0",
        },
    )
    async with listening(define_maintenance(settings), settings) as wire:
        yield wire


@asynccontextmanager
async def listening(
    definition: ServiceDefinition, settings: ServiceSettings
) -> AsyncGenerator[Wire]:
    """A client that misses nothing, while the service runs."""
    kinds = [each.trigger.kind for each in definition.workflows]
    async with AsyncExitStack() as stack:
        client = await connect(settings.nats_url.reveal(), "docs")
        stack.push_async_callback(close, client)
        await topology.ensure(jetstream(client), definition.name, kinds)
        wire = Wire(client)
        await wire.listen()
        service = Service(definition, settings)
        running = asyncio.create_task(service.run())
        # The wake of nobody, acknowledged once the service takes messages and requests.
        await wire.publish(f"workflows.{kinds[0]}.wake", b'{"id": "nobody"}')
        yield wire
        service.stop()
        assert await running is None
