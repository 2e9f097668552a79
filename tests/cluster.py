"""The system as processes: both servers, the services in replicas, and the gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
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
class OwnService:
    """A service of the test's own, beside that of players."""

    name: str
    module: str
    kinds: tuple[str, ...]
    sql: Path
    """The folder of its migrations."""
    settings: Callable[[str], Mapping[str, str]]
    """By the gateway's address."""


@dataclass(frozen=True)
class Cluster:
    """What runs, each a process that may be killed and started again on its port and data."""

    nats: NatsCluster
    postgres: EmbeddedPostgres
    players: tuple[ServiceProcess, ...]
    own: tuple[ServiceProcess, ...]
    """Replicas of the test's own service, as many."""
    gateway: ServiceProcess
    databases: Mapping[str, str]
    """Of each service, as its role."""

    @property
    def services(self) -> tuple[ServiceProcess, ...]:
        """All processes but the servers."""
        return (*self.players, *self.own, self.gateway)

    @property
    def database_url(self) -> str:
        """As the player service's role."""
        return self.databases["player"]

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
    logs: Path,
    *,
    replicas: int,
    settings: Mapping[str, str],
    nats_nodes: int = 1,
    own: OwnService | None = None,
) -> AsyncGenerator[Cluster]:
    """Starts each service as the one-machine stack does; `settings` are environment variables.

    With several `nats_nodes` there is a copy of each stream on each.
    """
    kinds: dict[str, Iterable[str]] = {**kinds_by_service()}
    sql = {"player": Path(services.__path__[0]) / "player" / "sql"}
    if own is not None:
        kinds[own.name], sql[own.name] = own.kinds, own.sql
    members = users(kinds, virtual_clock=settings.get("CLOCK") == "virtual")
    block = authorization((*members, TESTS), lambda _: quoted(NATS_PASSWORD))
    async with (
        embedded_postgres() as postgres,
        embedded_nats_cluster(nats_nodes, block, (TESTS.name, NATS_PASSWORD)) as nats,
    ):
        made = Databases(postgres.url)
        databases = {
            name: await made.create(name, {"engine": ENGINE_SQL, name: folder})
            for name, folder in sql.items()
        }

        def process(name: str, service: str, module: str, **more: str) -> ServiceProcess:
            environment = {**os.environ, **environment_of(nats, service), **settings, **more}
            return service_process(name, module, logs, environment)

        def replicated(service: str, module: str, **more: str) -> tuple[ServiceProcess, ...]:
            more["DATABASE_URL"] = databases[service]
            numbers = range(1, replicas + 1)
            return tuple(process(f"{service}-{each}", service, module, **more) for each in numbers)

        gateway = process("gateway", "gateway", "services.gateway", API_KEY=API_KEY)
        cluster = Cluster(
            nats,
            postgres,
            replicated("player", "services.player"),
            replicated(own.name, own.module, **own.settings(gateway.address)) if own else (),
            gateway,
            databases,
        )
        try:
            await asyncio.gather(*(each.start() for each in cluster.services))
            yield cluster
        finally:
            await asyncio.gather(*(each.stop() for each in cluster.services))


def environment_of(nats: NatsCluster, user: str) -> dict[str, str]:
    """How a process finds NATS, as a user of its own."""
    return {
        "NATS_URL": nats.url_as(user, NATS_PASSWORD),
        "STREAM_REPLICAS": str(len(nats.nodes)),
        "HTTP_HOST": "127.0.0.1",
    }


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
