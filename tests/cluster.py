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
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.rights import Right, User, users
from shared.jetstream.topology import kinds_by_service
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.embedded.child import free_port
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.nats_cluster import NatsCluster
from shared.testing.servers import Databases, embedded_nats_cluster, embedded_postgres

API_KEY = "a-key-for-tests"
NATS_PASSWORD = "a-password-for-tests"
TESTS = User("tests", (Right("look everywhere", (">",), (">",)),))
"""Sees and does what no user of the system may."""
REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class Cluster:
    """What runs, each a process that may be killed and started again on its port and data."""

    nats: NatsCluster
    postgres: EmbeddedPostgres
    players: tuple[ServiceProcess, ...]
    gateway: ServiceProcess
    database_url: str
    """As the player service's role."""

    @property
    def nats_url(self) -> str:
        """As the tests' own user, who may do everything."""
        return self.nats.url

    def http(self) -> aiohttp.ClientSession:
        """A client of the gateway with its key."""
        return aiohttp.ClientSession(
            self.gateway.address,
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        )


@asynccontextmanager
async def running_cluster(
    logs: Path, *, replicas: int, settings: Mapping[str, str], nats_nodes: int = 1
) -> AsyncGenerator[Cluster]:
    """Starts each service as the one-machine stack does; `settings` are environment variables.

    With several `nats_nodes` there is a copy of each stream on each.
    """
    block = authorization((*users(kinds_by_service()), TESTS), lambda _: quoted(NATS_PASSWORD))
    async with (
        embedded_postgres() as postgres,
        embedded_nats_cluster(nats_nodes, block, (TESTS.name, NATS_PASSWORD)) as nats,
    ):
        own_sql = Path(services.__path__[0]) / "player" / "sql"
        database_url = await Databases(postgres.url).create(
            "player", {"engine": ENGINE_SQL, "player": own_sql}
        )
        environment = {
            **os.environ,
            "STREAM_REPLICAS": str(nats_nodes),
            "DATABASE_URL": database_url,
            "API_KEY": API_KEY,
            "HTTP_HOST": "127.0.0.1",
            **settings,
        }
        cluster = Cluster(
            nats,
            postgres,
            tuple(
                _service(f"player-{number}", "player", nats, logs, environment)
                for number in range(1, replicas + 1)
            ),
            _service("gateway", "gateway", nats, logs, environment),
            database_url,
        )
        own = (*cluster.players, cluster.gateway)
        try:
            await asyncio.gather(*(each.start() for each in own))
            yield cluster
        finally:
            await asyncio.gather(*(each.stop() for each in own))


def _service(
    name: str, service: str, nats: NatsCluster, logs: Path, environment: Mapping[str, str]
) -> ServiceProcess:
    """A process of the system, under its own NATS user."""
    url = nats.url_as(service, NATS_PASSWORD)
    return service_process(name, f"services.{service}", logs, {**environment, "NATS_URL": url})


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


def denials(logs: Path) -> list[str]:
    """Where a process was denied a subject on NATS: each is a right that is missing."""
    return [
        f"{log.name}: {line}"
        for log in sorted(logs.glob("*.log"))
        for line in log.read_text().splitlines()
        if "nats_denied" in line
    ]
