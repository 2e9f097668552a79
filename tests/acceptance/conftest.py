"""One cluster for the whole tier: two replicas of the player service behind one gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.jetstream.connection import connect
from tests.acceptance.game import Game
from tests.cluster import Cluster, denials, running_cluster

SHORT = {"LEASE_SECONDS": "2", "ACK_WAIT_SECONDS": "2"}
"""So that what a test disturbs is taken up soon."""


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Real processes; a test that ends one starts it again."""
    logs = tmp_path_factory.mktemp("logs")
    async with running_cluster(logs, replicas=2, settings=SHORT) as cluster:
        yield cluster
    assert denials(logs) == []


@pytest.fixture
async def game(cluster: Cluster) -> AsyncIterator[Game]:
    """The system from outside."""
    client = await connect(cluster.nats_url, "test")
    pool = await asyncpg.create_pool(cluster.database_url, min_size=0, max_size=4)
    async with cluster.http() as http:
        yield Game(cluster, http, client, pool)
    await client.close()
    pool.terminate()
