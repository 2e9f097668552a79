"""Whole services in process on the real servers, and what a test waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec
import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Trigger
from shared.postgres.migrations import ENGINE_SQL
from shared.runtime.config import Secret
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.handling import AnyEventHandler, AnyHandler
from shared.runtime.service import Service
from shared.testing.samples import EFFECTS_SQL, SampleWorkflow, StartSample
from shared.testing.servers import Databases
from shared.workflow.crons import Cron
from shared.workflow.ports import Clock
from shared.workflow.records import InstanceKey, OutboxMessage
from shared.workflow.registry import Registration, Workflow, register

BOUND_SECONDS = 60.0

# Whoever waits for an instance listens instead of asking again and again.
NOTIFY_SQL = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('changed', ''); RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT OR UPDATE ON workflow_instances
    FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER told AFTER INSERT OR UPDATE ON crons FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER told AFTER INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER told AFTER INSERT ON dead_letters FOR EACH STATEMENT EXECUTE FUNCTION tell();
"""


class Place:
    """A service's database and the NATS beside it, as a test sees them."""

    def __init__(self, nats_url: str, database_url: str):
        self.nats_url = nats_url
        self.database_url = database_url

    def settings(self, **changed: Any) -> ServiceSettings:
        """Settings of a replica with short leases."""
        settings = ServiceSettings(
            nats_url=Secret(self.nats_url),
            database_url=Secret(self.database_url),
            http_port=0,
            lease_seconds=3.0,
            ack_wait_seconds=3.0,
            timekeeper_seconds=0.1,
            drain_seconds=5.0,
        )
        return msgspec.structs.replace(settings, **changed)

    async def prepare(self, stream_replicas: int) -> None:
        """Streams that a start can be published to before any replica is up."""
        client = await connect(self.nats_url, "preparation")
        await topology.ensure_streams(
            jetstream(client), "sample", ["sample"], replicas=stream_replicas
        )
        await client.close()

    async def publish(self, starts: Sequence[Trigger]) -> None:
        """Starts as someone without a gateway publishes them."""
        client = await connect(self.nats_url, "test")
        publisher = JetStreamPublisher(client)
        await publisher.publish(
            [
                OutboxMessage(
                    id="",
                    subject=subjects.start(start.kind),
                    body=encode(start),
                    headers={subjects.WORKFLOW_ID: start.id or ""},
                )
                for start in starts
            ]
        )
        await client.close()

    async def fetchval(self, query: str, *args: Any) -> Any:
        """A value of the service's database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(query, *args)
        finally:
            await connection.close()

    async def fetch(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Rows of the service's database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [tuple(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    async def until(self, query: str, *args: Any) -> None:
        """Returns once the query is true of what is committed; told of changes, not asking."""
        changed = asyncio.Event()

        def tell(*_: object) -> None:
            changed.set()

        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.add_listener("changed", tell)
            async with asyncio.timeout(BOUND_SECONDS):
                while not await connection.fetchval(query, *args):
                    await changed.wait()
                    changed.clear()
        finally:
            await connection.close(timeout=5)

    async def until_ended(self, count: int) -> None:
        """Returns once so many instances are complete."""
        await self.until(
            "SELECT count(*) >= $1 FROM workflow_instances WHERE status = 'complete'", count
        )

    async def doubled(self) -> list[tuple[Any, ...]]:
        """Steps whose effect is there more than once."""
        return await self.fetch(
            "SELECT workflow_id, step, count(*) FROM effects GROUP BY 1, 2 HAVING count(*) > 1"
        )

    async def wrong_statuses(self) -> list[str]:
        """Instances that the status bucket does not show as they are."""
        rows = await self.fetch("SELECT id, status, generation, version FROM workflow_instances")
        client = await connect(self.nats_url, "test")
        bucket = JetStreamStatusBucket(client)
        wrong: list[str] = []
        for workflow_id, status, *order in rows:
            stored = await bucket.get(InstanceKey("sample", workflow_id))
            if (
                stored is None
                or stored.document.status != status
                or stored.document.order != (*order, 0)
            ):
                wrong.append(workflow_id)
        await client.close()
        return wrong

    async def until_settled(self) -> None:
        """Returns once no command is left in the stream, acknowledged one and all."""
        client = await connect(self.nats_url, "test")
        js = jetstream(client)
        stream = subjects.workflows_stream("sample")
        settled = await client.subscribe("$JS.ACK.>")
        try:
            async with asyncio.timeout(BOUND_SECONDS):
                while (await js.stream_info(stream)).state.messages:
                    # The server may count a message for a moment after its acknowledgement.
                    with suppress(TimeoutError):
                        await settled.next_msg(timeout=0.2)
        finally:
            await client.close()


class MakePlace(Protocol):
    def __call__(
        self, nats_url: str, on: Databases | None = None, *, stream_replicas: int = 1
    ) -> Awaitable[Place]: ...


class StartService(Protocol):
    def __call__(
        self,
        place: Place,
        workflow: Workflow[StartSample] | None = None,
        *,
        facts: Sequence[AnyHandler] = (),
        events: Sequence[AnyEventHandler] = (),
        crons: Sequence[Cron] = (),
        clock: Clock | None = None,
        others: Sequence[Registration] = (),
        **settings: Any,
    ) -> Awaitable[Replica]: ...


class Replica:
    """A running service."""

    def __init__(self, service: Service, task: asyncio.Task[str | None]):
        self.service = service
        self.task = task

    async def stop(self) -> str | None:
        """Drains it; returns its failure, if any."""
        self.service.stop()
        async with asyncio.timeout(BOUND_SECONDS):
            return await self.task


@pytest.fixture
async def make_place(databases: Databases, tmp_path: Path) -> AsyncIterator[MakePlace]:
    """`place = await make_place(nats_url)`, its database on the shared or on given servers."""
    (tmp_path / "0001_effects.sql").write_text(EFFECTS_SQL + NOTIFY_SQL)
    async with AsyncExitStack() as stack:

        async def make(
            nats_url: str, on: Databases | None = None, *, stream_replicas: int = 1
        ) -> Place:
            on = on or databases
            url = await on.create("sample", {"engine": ENGINE_SQL, "sample": tmp_path})
            if on is databases:
                stack.push_async_callback(on.drop, url)
            place = Place(nats_url, url)
            await place.prepare(stream_replicas)
            return place

        yield make


@pytest.fixture
async def start_service() -> AsyncIterator[StartService]:
    """Starts a replica; all are stopped after the test, without a failure."""
    replicas: list[Replica] = []

    async def start(
        place: Place,
        workflow: Workflow[StartSample] | None = None,
        *,
        facts: Sequence[AnyHandler] = (),
        events: Sequence[AnyEventHandler] = (),
        crons: Sequence[Cron] = (),
        clock: Clock | None = None,
        others: Sequence[Registration] = (),
        **settings: Any,
    ) -> Replica:
        definition = ServiceDefinition(
            "sample",
            [register(StartSample, workflow or SampleWorkflow()), *others],
            facts=facts,
            events=events,
            crons=crons,
            crons_revision=1 if crons else 0,
        )
        service = Service(definition, place.settings(**settings), clock)
        replicas.append(Replica(service, asyncio.create_task(service.run())))
        return replicas[-1]

    yield start
    failures = [await replica.stop() for replica in replicas]
    assert failures == [None] * len(failures)
