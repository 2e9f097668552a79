"""The world of a crash sweep: fresh streams and a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.samples import EFFECTS_SQL
from shared.testing.servers import Databases
from tests.faults.sweep import LEASE_SECONDS, World

WITNESS_SECONDS = 30.0
KINDS = ("sample", "journey", "errand")


@pytest.fixture
async def world(databases: Databases, nats_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """PostgreSQL and JetStream with short leases, so that a redelivery comes soon."""
    (tmp_path / "0001_effects.sql").write_text(EFFECTS_SQL)
    url = await databases.create("sample", {"engine": ENGINE_SQL, "sample": tmp_path})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.drop, url)
        client = await connect(nats_url, "sweep")
        stack.push_async_callback(client.close)
        js = jetstream(client)
        await topology.ensure(js, "sample", KINDS, ack_wait_seconds=LEASE_SECONDS)
        pools = [
            await create_pool(url, size=6, name="sweep", idle_timeout_seconds=seconds)
            for seconds in (LEASE_SECONDS, LEASE_SECONDS, WITNESS_SECONDS)
        ]
        for pool in pools:
            stack.callback(pool.terminate)
        steps, upkeep, witness = pools
        world = World(
            client,
            js,
            PostgresStore("sample", steps, upkeep),
            PostgresStore("sample", witness, witness),
        )
        await world.subscribe()
        yield world
