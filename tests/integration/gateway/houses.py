"""The gateway with its services behind it, on real servers, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from services.billing.app import define as billing_service
from services.billing.config import BillingSettings
from services.gateway.app import create_app, ensure
from services.maintenance.app import define as maintenance_service
from services.maintenance.config import MaintenanceSettings
from services.player.app import service as player_service
from shared.jetstream.connection import connect
from shared.runtime.clocks import SystemClock
from shared.runtime.config import Secret, load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service

Http = TestClient[Request, Application]
API_KEY = "correct-horse-battery-staple"
WEBHOOK_SECRET = "whsec_of_the_tests"
BOUND_SECONDS = 30.0


def definitions(environment: Mapping[str, str]) -> list[tuple[ServiceDefinition, ServiceSettings]]:
    """The services, each under its settings."""
    player = load(ServiceSettings, environment)
    billing = load(BillingSettings, environment)
    maintenance = load(MaintenanceSettings, environment)
    return [
        (player_service(), player),
        (billing_service(billing), billing),
        (maintenance_service(maintenance), maintenance),
    ]


@asynccontextmanager
async def house(nats_url: str, databases: Mapping[str, str]) -> AsyncGenerator[Http]:
    """A caller of the gateway, once every service answers. Bounded."""
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "gateway")
        stack.push_async_callback(client.close)
        await ensure(client)
        for name, url in databases.items():
            stack.push_async_callback(await _running(name, nats_url, url))
        server = TestServer(create_app(client, Secret(API_KEY), SystemClock()))
        headers = {"Authorization": f"Bearer {API_KEY}"}
        http = await stack.enter_async_context(TestClient(server, headers=headers))
        async with asyncio.timeout(BOUND_SECONDS):
            while (await http.get("/api/schedules")).status != 200:
                pass
        yield http


async def _running(name: str, nats_url: str, database_url: str) -> Any:
    environment = {
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "HTTP_PORT": "0",
        "PAYMENT_PROVIDER": "sandbox",
        "SANDBOX_WEBHOOK_SECRET": WEBHOOK_SECRET,
    }
    [(definition, settings)] = [each for each in definitions(environment) if each[0].name == name]
    service = Service(definition, settings, SystemClock())
    running = asyncio.create_task(service.run())

    async def stop() -> None:
        service.stop()
        assert await running is None

    return stop
