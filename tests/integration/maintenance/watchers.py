"""Replicas of maintenance that look often, and what the operators hear of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from shared.runtime.config import load
from shared.runtime.embedded.child import free_port
from shared.runtime.service import Service
from tests.receivers import WEBHOOK_SECRET, WebhookReceiver

BOUND_SECONDS = 90.0
LOOK_SECONDS = 0.3


class Replica:
    """One maintenance service in this process."""

    def __init__(self, environment: Mapping[str, str]):
        self.port = free_port()
        settings = load(MaintenanceSettings, {**environment, "HTTP_PORT": str(self.port)})
        self._service = Service(define(settings), settings)
        self.running = asyncio.create_task(self._service.run())

    async def status_of(self, path: str) -> int:
        """What its HTTP server says."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status

    async def until_started(self) -> None:
        """Returns once it looks at things."""
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                assert not self.running.done(), self.running.result()
                try:
                    if await self.status_of("/startupz") == 200:
                        return
                except aiohttp.ClientError:
                    pass

    async def stop(self) -> None:
        """Ends it as SIGTERM does."""
        self._service.stop()
        async with asyncio.timeout(BOUND_SECONDS):
            assert await self.running is None


class Operators:
    """What arrived at the operators' webhook."""

    def __init__(self, hooks: WebhookReceiver):
        self._hooks = hooks

    def heard(self) -> list[tuple[str, str]]:
        """Name and component of each notice, in order."""
        return [(each.name, each.data["component"]) for each in self._hooks.bodies]

    def told(self, component: str) -> list[str]:
        """What was told of a component."""
        return [name for name, about in self.heard() if about == component]

    async def until(self, name: str, component: str) -> dict[str, Any]:
        """Its facts, once it has arrived."""
        async with asyncio.timeout(BOUND_SECONDS):
            while (name, component) not in self.heard():
                await self._hooks.arrived.acquire()
        return next(
            each.data
            for each in reversed(self._hooks.bodies)
            if (each.name, each.data["component"]) == (name, component)
        )

    def doubled(self) -> list[tuple[str, str]]:
        """What was told more than once."""
        return [each for each, count in Counter(self.heard()).items() if count > 1]


@asynccontextmanager
async def watching(
    hooks: WebhookReceiver,
    nats_url: str,
    database_url: str,
    *,
    replicas: int = 2,
    **settings: str,
) -> AsyncGenerator[list[Replica]]:
    """Replicas of maintenance, started."""
    environment = {
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "NOTIFY_WEBHOOK_URL": hooks.url,
        "NOTIFY_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "HEALTH_SECONDS": str(LOOK_SECONDS),
        "HEALTH_COOLDOWN_SECONDS": "0.1",
        **settings,
    }
    async with AsyncExitStack() as stack:
        found: list[Replica] = []
        for _ in range(replicas):
            replica = Replica(environment)
            stack.push_async_callback(replica.stop)
            found.append(replica)
        for replica in found:
            await replica.until_started()
        yield found
