"""Whatever fails is named, with one alert and one recovery from two replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec
import pytest

import services
from shared.jetstream import topology
from shared.jetstream.connection import close, connect, jetstream
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.maintenance import HealthChecked, HealthQuery
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.servers import Databases
from tests.integration.maintenance.watchers import Operators, watching
from tests.receivers import WebhookReceiver, webhook_receiver

MakeDatabase = Callable[[str], Awaitable[str]]
FAILED, RECOVERED = "component_failed", "component_recovered"
BUCKET = f"bucket:{subjects.STATUS_BUCKET}"
DEFINED = ["player", "billing"]
"""Services that do not run here, and fail from the start."""


@pytest.fixture
async def hooks() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def operators(hooks: WebhookReceiver) -> Operators:
    return Operators(hooks)


async def until_calm(operators: Operators) -> None:
    """The replicas look, and one leads: it has told of the services that are not there."""
    for service in DEFINED:
        await operators.until(FAILED, f"service:{service}")


async def own_database(server: EmbeddedPostgres) -> str:
    sql = Path(services.__path__[0]) / "maintenance" / "sql"
    databases = Databases(server.url)
    return await databases.create("maintenance", {"engine": ENGINE_SQL, "maintenance": sql})


async def notices(url: str) -> list[tuple[str, str, str, int]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT n.name, n.data ->> 'component', l.state, l.attempts FROM notices AS n "
            "JOIN notice_letters AS l ON l.notice_id = n.id ORDER BY n.id"
        )
    finally:
        await connection.close()
    return [tuple(row) for row in rows]


async def test_postgresql_stopped(
    own_postgres: EmbeddedPostgres, nats_url: str, hooks: WebhookReceiver, operators: Operators
) -> None:
    url = await own_database(own_postgres)
    async with watching(hooks, nats_url, url) as replicas:
        await until_calm(operators)
        await own_postgres.kill()
        await operators.until(FAILED, "postgresql:maintenance")
        for replica in replicas:
            assert await replica.status_of("/healthz") == 200
            assert await replica.status_of("/readyz") == 503
        await own_postgres.start()
        await operators.until(RECOVERED, "postgresql:maintenance")
        assert operators.doubled() == []
        rows = [row for row in await notices(url) if row[1] == "postgresql:maintenance"]
    assert rows[0] == (FAILED, "postgresql:maintenance", "sent", 1)
    assert [row[0] for row in rows] == [FAILED, RECOVERED]
    assert operators.told("postgresql:maintenance") == [FAILED, RECOVERED]


async def test_nats_stopped(
    make_database: MakeDatabase,
    own_nats: EmbeddedNats,
    hooks: WebhookReceiver,
    operators: Operators,
) -> None:
    url = await make_database("maintenance")
    async with watching(hooks, own_nats.url, url) as replicas:
        await until_calm(operators)
        before = operators.heard()
        await own_nats.kill()
        await operators.until(FAILED, "jetstream")
        for replica in replicas:
            assert await replica.status_of("/healthz") == 200
            assert not replica.running.done()
        await own_nats.start()
        await operators.until(RECOVERED, "jetstream")
        # What stands on it was not told of.
        assert operators.heard()[len(before) :] == [(FAILED, "jetstream"), (RECOVERED, "jetstream")]


async def test_both_stopped_and_every_process_lives(
    own_postgres: EmbeddedPostgres,
    own_nats: EmbeddedNats,
    hooks: WebhookReceiver,
    operators: Operators,
) -> None:
    url = await own_database(own_postgres)
    async with watching(hooks, own_nats.url, url) as replicas:
        await until_calm(operators)
        await own_nats.kill()
        await own_postgres.kill()
        await operators.until(FAILED, "jetstream")
        await operators.until(FAILED, "postgresql:maintenance")
        for replica in replicas:
            assert await replica.status_of("/healthz") == 200
        await own_postgres.start()
        await own_nats.start()
        await operators.until(RECOVERED, "jetstream")
        await operators.until(RECOVERED, "postgresql:maintenance")
        assert operators.doubled() == []


async def test_a_consumer_stuck_and_a_bucket_deleted(
    make_database: MakeDatabase, nats_url: str, hooks: WebhookReceiver, operators: Operators
) -> None:
    client = await connect(nats_url, "test")
    js = jetstream(client)
    for service, kinds in topology.kinds_by_service().items():
        await topology.ensure(js, service, kinds)
    url = await make_database("maintenance")
    consumer = subjects.starts_consumer("player")
    async with watching(hooks, nats_url, url, HEALTH_STUCK_SECONDS="2"):
        await until_calm(operators)
        await js.publish(subjects.start("player"), b"{}")
        told = await operators.until(FAILED, f"consumer:{consumer}")
        assert told["detail"].startswith("1 pending, 0 unacknowledged")
        pulled = await js.pull_subscribe_bind(consumer, subjects.workflows_stream("player"))
        [message] = await pulled.fetch(1)
        await message.ack_sync()
        await operators.until(RECOVERED, f"consumer:{consumer}")

        await js.delete_stream(subjects.STATUS_STREAM)
        told = await operators.until(FAILED, BUCKET)
        assert told["detail"] == f"there is no stream {subjects.STATUS_STREAM}"
        await topology.ensure_streams(js, "player", ["player"])
        await operators.until(RECOVERED, BUCKET)
        reply = await client.request(
            subjects.query("maintenance", "health"), encode(HealthQuery()), timeout=5
        )
    await close(client)
    assert operators.doubled() == []
    found = msgspec.json.decode(reply.data, type=HealthChecked)
    statuses = {each.component: (each.status, each.cause) for each in found.components}
    assert statuses[BUCKET] == statuses["service:maintenance"] == ("pass", None)
    assert statuses["postgresql:player"] == ("fail", "service:player")


async def test_a_server_that_hangs_costs_its_time_out(
    own_nats: EmbeddedNats,
    make_database: MakeDatabase,
    hooks: WebhookReceiver,
    operators: Operators,
) -> None:
    url = await make_database("maintenance")
    async with watching(hooks, own_nats.url, url):
        await until_calm(operators)
        own_nats.freeze()
        try:
            told = await operators.until(FAILED, "jetstream")
        finally:
            own_nats.thaw()
        assert told["status"] == "fail"
        await operators.until(RECOVERED, "jetstream")
        assert operators.doubled() == []
    assert operators.told("jetstream") == [FAILED, RECOVERED]
