"""The system's upkeep over real processes: every night once, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

import services.maintenance
from shared.jetstream.connection import close, connect
from shared.jetstream.topology import kinds_by_service
from shared.runtime.virtual.coordinator import Coordinator
from tests.acceptance.game import eventually
from tests.cluster import Cluster, OwnService, denials, running_cluster

CRON = {"SYSTEM_CRON": "30 2 * * *", "SYSTEM_TIME_ZONE": "Europe/Berlin"}
DAY = timedelta(days=1)
RUNS = "SELECT id FROM workflow_instances WHERE kind = 'system' ORDER BY id"


@asynccontextmanager
async def upkeep(logs: Path, start: datetime) -> AsyncGenerator[Cluster]:
    """Two replicas of maintenance and of the player service, on a virtual clock."""
    own = OwnService(
        "maintenance",
        "services.maintenance",
        tuple(kinds_by_service()["maintenance"]),
        Path(services.maintenance.__path__[0]) / "sql",
        lambda _gateway: CRON,
    )
    settings = {"CLOCK": "virtual", "CLOCK_START": start.isoformat(), "LOG_LEVEL": "warning"}
    async with running_cluster(logs, replicas=2, settings=settings, own=own) as cluster:
        yield cluster
    assert denials(logs) == []


async def advance(cluster: Cluster, by: timedelta) -> None:
    """Lets business time pass in all processes."""
    client = await connect(cluster.nats_url, "test")
    try:
        coordinator = Coordinator(client, ("player", "maintenance"))
        await coordinator.advance(await coordinator.now() + by)
    finally:
        await close(client)


async def fetch(cluster: Cluster, statement: str, *args: object) -> list[Any]:
    connection = await asyncpg.connect(cluster.databases["maintenance"])
    try:
        return [row[0] for row in await connection.fetch(statement, *args)]
    finally:
        await connection.close()


async def answer(http: aiohttp.ClientSession, method: str, path: str) -> Any:
    async with http.request(method, path, json={} if method == "POST" else None) as response:
        assert response.status in {200, 202}, await response.text()
        return await response.json()


def nights(*instants: str) -> list[str]:
    return [f"system-{instant}Z" for instant in instants]


@pytest.mark.parametrize(
    ("noon", "expected"),
    [
        # 02:30 in Berlin. It does not exist on 29 March, and is there twice on 25 October.
        (
            datetime(2026, 3, 27, 12, tzinfo=UTC),
            nights("20260328T013000", "20260329T010000", "20260330T003000"),
        ),
        (
            datetime(2026, 10, 23, 12, tzinfo=UTC),
            nights("20261024T003000", "20261025T003000", "20261026T013000"),
        ),
    ],
)
async def test_each_night_has_one_run_also_where_the_clocks_change(
    tmp_path: Path, noon: datetime, expected: Sequence[str]
) -> None:
    async with upkeep(tmp_path, noon) as cluster:
        await advance(cluster, 3 * DAY)
        assert await fetch(cluster, RUNS) == expected
        async with cluster.http() as http:
            for workflow_id in expected:
                status = await answer(http, "GET", f"/api/workflows/{workflow_id}")
                assert status["status"] == "complete", status


async def test_nothing_is_doubled_or_forgotten_over_a_night_in_which_everything_was_dead(
    tmp_path: Path,
) -> None:
    async with upkeep(tmp_path, datetime(2026, 5, 1, 12, tzinfo=UTC)) as cluster:
        await advance(cluster, DAY)
        servers = (*cluster.nats.nodes, cluster.postgres)
        await asyncio.gather(*(each.kill() for each in (*cluster.services, *servers)))
        for server in servers:
            await server.start()
        # Two nights pass while nobody is there.
        for name in ("player", "maintenance"):
            connection = await asyncpg.connect(cluster.databases[name])
            await connection.execute("UPDATE workflow_clock SET instant = instant + interval '48h'")
            await connection.close()
        await asyncio.gather(*(each.start() for each in cluster.services))
        expected = nights("20260502T003000", "20260504T003000")
        await eventually(lambda: fetch(cluster, RUNS), lambda found: found == expected)
        await advance(cluster, DAY)
        assert await fetch(cluster, RUNS) == [*expected, *nights("20260505T003000")]


async def test_a_paused_schedule_is_resumed_triggered_and_asked_for_over_http(
    tmp_path: Path,
) -> None:
    async with (
        upkeep(tmp_path, datetime(2026, 5, 1, 12, tzinfo=UTC)) as cluster,
        cluster.http() as http,
    ):
        schedule = "/api/schedules/maintenance/system"
        await answer(http, "POST", f"{schedule}/pause")
        await advance(cluster, 2 * DAY)
        assert await fetch(cluster, RUNS) == []
        triggered = await answer(http, "POST", f"{schedule}/trigger")
        asked_for = await answer(http, "POST", "/api/workflows/system")
        await answer(http, "POST", f"{schedule}/resume")
        await advance(cluster, DAY)
        ids = [triggered["workflowId"], asked_for["workflowId"], *nights("20260504T003000")]
        assert sorted(await fetch(cluster, RUNS)) == sorted(ids)
        for workflow_id in ids:
            status = await answer(http, "GET", f"/api/workflows/{workflow_id}")
            assert status["status"] == "complete", status
