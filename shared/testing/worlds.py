"""Servers for harnesses: any number of worlds, one after the other, each found empty."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.messages import subjects
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.server_world import NAME, ServerWorld
from shared.testing.servers import (
    Databases,
    delete_streams,
    nats_for_tests,
    postgres_for_tests,
    temporary_folder,
)
from shared.testing.world import Sql

NEVER_SECONDS = 3600.0
"""The servers end nothing and hand nothing over again by themselves: the harness does."""


class Servers:
    """A PostgreSQL and a nats-server that serve tests alone: each world finds them empty."""

    def __init__(self, databases: Databases, nats_url: str):
        self._databases = databases
        self._nats_url = nats_url

    @asynccontextmanager
    async def world(
        self, service: str, kinds: Iterable[str], sql: Sql
    ) -> AsyncGenerator[ServerWorld]:
        """Fresh streams, and a fresh database with the service's tables."""
        async with AsyncExitStack() as stack:
            folder = sql if isinstance(sql, Path) else await stack.enter_async_context(_folder(sql))
            url = await self._databases.create(service, {"engine": ENGINE_SQL, service: folder})
            stack.push_async_callback(self._databases.drop, url)
            await delete_streams(self._nats_url)
            client = await connect(self._nats_url, NAME)
            stack.push_async_callback(client.close)
            js = jetstream(client)
            await topology.ensure(js, service, kinds, ack_wait_seconds=NEVER_SECONDS)
            pools = [
                await create_pool(url, size=size, name=name, idle_timeout_seconds=NEVER_SECONDS)
                for size, name in ((16, NAME), (4, f"{NAME}-upkeep"))
            ]
            for pool in pools:
                stack.callback(pool.terminate)
            yield ServerWorld(
                client=client,
                store=PostgresStore(service, *pools),
                upkeep=pools[1],
                service=service,
                created=await topology.created_at(js, subjects.workflows_stream(service)),
                inbox=await client.subscribe(client.new_inbox()),
            )


@asynccontextmanager
async def servers_for_tests() -> AsyncGenerator[Servers]:
    """Those of TEST_DATABASE_URL and TEST_NATS_URL, or embedded ones, for many harnesses."""
    async with postgres_for_tests() as postgres, nats_for_tests() as nats:
        databases = Databases(postgres.url)
        try:
            yield Servers(databases, nats.url)
        finally:
            await databases.drop_all()


@asynccontextmanager
async def _folder(sql: str) -> AsyncGenerator[Path]:
    """A script as a folder of migrations."""
    async with temporary_folder() as folder:
        (folder / "0001_tables.sql").write_text(sql)
        yield folder
