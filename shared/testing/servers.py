"""Servers for tests: those of TEST_NATS_URL and TEST_DATABASE_URL, or embedded ones."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import nats

from shared.postgres.migrations import bootstrap, migrate
from shared.runtime.embedded.nats import EmbeddedNats, clustered
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.nats_cluster import NatsCluster

SERVICE_PASSWORD = "test"  # noqa: S105 - of roles on a server that serves tests alone


class Server(Protocol):
    """A server that tests connect to."""

    @property
    def url(self) -> str: ...


class ExternalServer:
    """A server somebody else runs, for tests alone: they delete what they find there."""

    def __init__(self, url: str):
        self.url = url


@asynccontextmanager
async def temporary_folder() -> AsyncGenerator[Path]:
    """A folder that PostgreSQL can reach when root's tests run it as another user."""
    with tempfile.TemporaryDirectory(prefix="padawanforge-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # noqa: PTH101, S103 - to pass through, not to list; blocks nothing
        yield Path(name)


@asynccontextmanager
async def embedded_postgres(*, fsync: bool = False) -> AsyncGenerator[EmbeddedPostgres]:
    """A fresh PostgreSQL, to be killed and started again at will."""
    async with temporary_folder() as folder:
        log = folder / "postgres.log"
        server = EmbeddedPostgres(folder / "postgres", log=log, fsync=fsync)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
            server.remove()


@asynccontextmanager
async def embedded_nats(
    authorization: str = "", environment: Mapping[str, str] | None = None
) -> AsyncGenerator[EmbeddedNats]:
    """A fresh nats-server, to be killed and started again at will; see EmbeddedNats."""
    async with temporary_folder() as folder:
        server = EmbeddedNats(
            folder / "nats",
            log=folder / "nats.log",
            environment=environment,
            authorization=authorization,
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def embedded_nats_cluster(
    size: int = 3, authorization: str = "", user: tuple[str, str] | None = None
) -> AsyncGenerator[NatsCluster]:
    """A fresh cluster of nats-servers, each to be killed, frozen and started again at will.

    With an `authorization` the cluster asks its nodes as `user`, with a password.
    """
    async with temporary_folder() as folder:
        cluster = NatsCluster(clustered(folder, size, authorization), user)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.stop()


@asynccontextmanager
async def postgres_for_tests() -> AsyncGenerator[Server]:
    """The server of TEST_DATABASE_URL, a superuser's URL, or an embedded one."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield ExternalServer(url)
    else:
        async with embedded_postgres() as server:
            yield server


@asynccontextmanager
async def nats_for_tests() -> AsyncGenerator[Server]:
    """The server of TEST_NATS_URL, or an embedded one."""
    if url := os.environ.get("TEST_NATS_URL"):
        yield ExternalServer(url)
    else:
        async with embedded_nats() as server:
            yield server


async def delete_streams(url: str) -> None:
    """Leaves nothing in JetStream, buckets included."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            if stream.config.name:
                await jetstream.delete_stream(stream.config.name)
    finally:
        await client.close()


class Databases:
    """Fresh databases of one server, each a copy of a migrated template.

    The next copy of a template is made while the test works on the last one.
    """

    def __init__(self, url: str):
        self._url = url
        self._run = secrets.token_hex(4)
        self._templates: dict[str, str] = {}
        self._next: dict[str, asyncio.Task[str]] = {}
        self._created: list[str] = []

    async def create(self, service: str, directories: Mapping[str, Path]) -> str:
        """A database with the service's schema, migrated; its URL as the service's role."""
        content = _digest(service, directories)
        template = self._templates.get(content)
        if template is None:
            template = await self._create_template(service, content, directories)
        ready = self._next.pop(content, None)
        name = await (ready if ready is not None else self._copy(template))
        self._next[content] = asyncio.create_task(self._copy(template))
        return self._at(name, service)

    async def drop(self, url: str) -> None:
        """Ends the database's connections and deletes it."""
        name = _name(url)
        await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._created.remove(name)

    def as_role(self, url: str, role: str) -> str:
        """The same database as another service's role."""
        return self._at(_name(url), role)

    def as_superuser(self, url: str) -> str:
        """The same database as superuser."""
        return self._at(_name(url))

    async def drop_all(self) -> None:
        """Deletes whatever was created and not dropped, templates included."""
        await asyncio.gather(*self._next.values())
        for name in (*self._created, *self._templates.values()):
            await self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _copy(self, template: str) -> str:
        name = f"test_{self._run}_{secrets.token_hex(4)}"
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self._created.append(name)
        return name

    async def _create_template(
        self, service: str, content: str, directories: Mapping[str, Path]
    ) -> str:
        template = f"template_{self._run}_{content}"
        await self._execute(f'CREATE DATABASE "{template}"')
        self._templates[content] = template
        superuser = await asyncpg.connect(self._at(template))
        try:
            await bootstrap(superuser, service, SERVICE_PASSWORD)
        finally:
            await superuser.close()
        owner = await asyncpg.connect(self._at(template, service))
        try:
            await migrate(owner, directories)
        finally:
            await owner.close()
        return template

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _at(self, database: str, role: str | None = None) -> str:
        """The server's URL with another database, and another role if one is given."""
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2]
        place = f"{role}:{SERVICE_PASSWORD}@{host}" if role else parts.netloc
        return urlunsplit(parts._replace(netloc=place, path=f"/{database}"))


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _digest(service: str, directories: Mapping[str, Path]) -> str:
    """Two services of one name and other SQL must not share a template."""
    digest = blake2b(service.encode(), digest_size=8)
    for name, directory in directories.items():
        digest.update(name.encode())
        for file in sorted(directory.glob("*.sql")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
