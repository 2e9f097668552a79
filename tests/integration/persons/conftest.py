"""Player, billing and maintenance in process behind a gateway, on the real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.billing.app import define as define_billing
from services.billing.config import BillingSettings
from services.gateway.app import create_app, ensure
from services.maintenance.app import define as define_maintenance
from services.maintenance.config import MaintenanceSettings
from services.player.app import service as define_player
from shared.jetstream.connection import connect
from shared.postgres.pool import create_pool
from shared.runtime.clocks import SystemClock
from shared.runtime.config import Secret, load
from shared.runtime.definition import ServiceSettings
from shared.runtime.service import Service
from tests.conftest import MakeDatabase
from tests.integration.persons.town import NEVER, Town

API_KEY = "correct-horse-battery-staple"


@pytest.fixture
async def town(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[Town]:
    """All services run; none may fail."""
    names = ("player", "billing", "maintenance")
    environments = {
        name: {
            "NATS_URL": nats_url,
            "DATABASE_URL": await make_database(name),
            "HTTP_PORT": "0",
            "PAYMENT_PROVIDER": "sandbox",
            "SANDBOX_WEBHOOK_SECRET": "whsec_test",
            "BILLING_SWEEP_CRON": NEVER,
            "TIMEKEEPER_SECONDS": "0.1",
            "DRAIN_SECONDS": "5",
        }
        for name in names
    }

    def made(name: str) -> Service:
        environment = environments[name]
        if name == "billing":
            billing = load(BillingSettings, environment)
            return Service(define_billing(billing), billing)
        if name == "maintenance":
            maintenance = load(MaintenanceSettings, environment)
            return Service(define_maintenance(maintenance), maintenance)
        return Service(define_player(), load(ServiceSettings, environment))

    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "test")
        stack.push_async_callback(client.close)
        await ensure(client)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        app = create_app(client, Secret(API_KEY), SystemClock())
        http = await stack.enter_async_context(TestClient(TestServer(app), headers=headers))
        pools: dict[str, asyncpg.Pool[asyncpg.Record]] = {}
        for name in names:
            url = environments[name]["DATABASE_URL"]
            pools[name] = await create_pool(url, size=2, name="witness", idle_timeout_seconds=30)
            stack.callback(pools[name].terminate)
        town = Town(http, client, pools, made)
        for name in names:
            town.open(name)
        yield town
        async with asyncio.timeout(60):
            for name in names:
                await town.close(name)
