"""The system as processes: both servers, replicas of the player service, and the gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

import services
from services.stack.processes import Service, ServiceProcess
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.embedded.child import free_port
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.servers import Databases, embedded_nats, embedded_postgres

API_KEY = "a-key-for-tests"
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class Cluster:
    """What runs, each a process that may be killed and started again on its port and data."""

    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    players: tuple[ServiceProcess, ...]
    gateway: ServiceProcess
    database_url: str
    """As the player service's role."""

    def http(self) -> aiohttp.ClientSession:
        """A client of the gateway with its key."""
        return aiohttp.ClientSession(
            self.gateway.address,
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )


@asynccontextmanager
async def running_cluster(
    logs: Path, *, replicas: int, settings: Mapping[str, str]
) -> AsyncGenerator[Cluster]:
    """Starts each service as the one-machine stack does; `settings` are environment variables."""
    async with embedded_postgres() as postgres, embedded_nats() as nats:
        own_sql = Path(services.__path__[0]) / "player" / "sql"
        database_url = await Databases(postgres.url).create(
            "player", {"engine": ENGINE_SQL, "player": own_sql}
        )
        environment = {
            **os.environ,
            "NATS_URL": nats.url,
            "DATABASE_URL": database_url,
            "API_KEY": API_KEY,
            "HTTP_HOST": "127.0.0.1",
            **settings,
        }
        cluster = Cluster(
            nats,
            postgres,
            tuple(
                service_process(f"player-{number}", "services.player", logs, environment)
                for number in range(1, replicas + 1)
            ),
            service_process("gateway", "services.gateway", logs, environment),
            database_url,
        )
        own = (*cluster.players, cluster.gateway)
        try:
            await asyncio.gather(*(each.start() for each in own))
            yield cluster
        finally:
            await asyncio.gather(*(each.stop() for each in own))


def service_process(
    name: str, module: str, logs: Path, environment: Mapping[str, str]
) -> ServiceProcess:
    """A process on a free port, not started yet; `environment` is all that it gets besides."""
    port = free_port()
    return ServiceProcess(
        Service(name, module, has_database=False),
        logs / f"{name}.log",
        port,
        {**environment, "HTTP_PORT": str(port)},
    )
