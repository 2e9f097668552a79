"""The billing service on an empty schema."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.postgres.pool import create_pool
from tests.conftest import MakeDatabase
from tests.integration.charges.house import House


@pytest.fixture
async def house(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[House]:
    """No replica runs yet; those that the test opens are closed after it."""
    url = await make_database("billing")
    pool = await create_pool(url, size=4, name="witness", idle_timeout_seconds=30)
    client = await connect(nats_url, "test")
    kinds = topology.kinds_by_service()["billing"]
    await topology.ensure_streams(jetstream(client), "billing", kinds)
    house = House(url, nats_url, pool, client)
    yield house
    await house.close()
    await client.close()
    pool.terminate()
