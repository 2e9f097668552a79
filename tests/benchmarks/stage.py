"""Real servers with the engine on them, as a service puts it together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import asyncpg
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from services.gateway.starts import Start, Starter
from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.pull import PullLoop
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.clocks import SystemClock
from shared.testing.servers import Databases, embedded_nats, embedded_postgres
from shared.workflow.executor import Executor
from shared.workflow.records import InstanceKey
from shared.workflow.registry import Registry, register
from shared.workflow.settings import EngineSettings
from tests.benchmarks.workload import (
    CREATE_COUNTERS,
    FILL_COUNTERS,
    UPDATES,
    StartUpdates,
    UpdatesWorkflow,
)

SERVICE = StartUpdates.service
SETTINGS = EngineSettings()
ACK_WAIT_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""Far more than a round takes, so that a start that never completes does not hang the run."""


class NotCompleted(Exception):
    """Workflows that were started did not complete in time; the message counts the outcomes."""


@dataclass
class Stage:
    """What a measurement works on. `client` is the engine's alone, so its messages count."""

    pool: asyncpg.Pool[asyncpg.Record]
    client: Client
    load: JetStreamContext
    starter: Starter
    executor: Executor
    stream_created: str
    workers: int
    starts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    _all_completed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, number: int) -> None:
        """A start as the gateway makes it: status key, headers, acknowledged publish."""
        self.starts += 1
        workflow_id = f"start-{self.starts}"
        body = encode(StartUpdates(id=workflow_id, number=number))
        key = InstanceKey(StartUpdates.kind, workflow_id)
        await self.starter.start(Start(key=key, body=body, actor="bench", idempotency_key=None))

    async def publish(self, number: int) -> None:
        """A start by a bare publish of nothing but the body."""
        self.starts += 1
        body = encode(StartUpdates(number=number))
        await self.load.publish(subjects.start(StartUpdates.kind), body)

    async def all_completed(self) -> None:
        """Waits for every start so far. Raises NotCompleted."""
        self._all_completed.clear()
        self._look()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._all_completed.wait()
        except TimeoutError as error:
            raise NotCompleted(f"{self.starts} starts, {dict(self.outcomes)}") from error

    @asynccontextmanager
    async def pulling(self) -> AsyncGenerator[None]:
        """Works as a service does meanwhile; every ack has reached the server at the end."""
        loop = PullLoop(
            self.client,
            stream=subjects.workflows_stream(SERVICE),
            consumer=subjects.starts_consumer(SERVICE),
            stream_created=lambda: self.stream_created,
            workers=self.workers,
            ack_wait_seconds=ACK_WAIT_SECONDS,
            handle=self._handle,
            lost=_consumer_lost,
        )
        running = asyncio.create_task(loop.run())
        try:
            yield
        finally:
            await loop.drain(PATIENCE_SECONDS)
            await running
            await self.client.flush()

    async def _handle(self, delivery: JetStreamDelivery) -> None:
        self.outcomes[await self.executor.deliver(delivery)] += 1
        self._look()

    def _look(self) -> None:
        if self.outcomes["complete"] >= self.starts:
            self._all_completed.set()


async def _consumer_lost() -> None:
    raise NotCompleted("the server lost the consumer in the middle of a measurement")


@asynccontextmanager
async def open_stage(*, workers: int, numbers: int) -> AsyncGenerator[Stage]:
    """Fresh servers, PostgreSQL with fsync; rows for so many numbers; one pool for all."""
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(fsync=True))
        nats = await stack.enter_async_context(embedded_nats())
        databases = Databases(postgres.url)
        url = await databases.create(SERVICE, {"engine": ENGINE_SQL})

        async def pool_of(size: int) -> asyncpg.Pool[asyncpg.Record]:
            pool = await create_pool(
                url, size=size, name=SERVICE, idle_timeout_seconds=SETTINGS.lease_seconds
            )
            stack.callback(pool.terminate)
            return pool

        async def client_of(name: str) -> Client:
            client = await connect(nats.url, name)
            stack.push_async_callback(client.close)
            return client

        pool, upkeep = await pool_of(workers), await pool_of(2)
        await pool.execute(CREATE_COUNTERS)
        await pool.execute(FILL_COUNTERS, numbers * UPDATES)
        client, load = await client_of("engine"), await client_of("load")
        js = jetstream(client)
        await topology.ensure(js, SERVICE, [StartUpdates.kind])
        yield Stage(
            pool=pool,
            client=client,
            load=jetstream(load),
            starter=Starter(JetStreamStatusBucket(load), JetStreamPublisher(load), SystemClock()),
            executor=Executor(
                service=SERVICE,
                registry=Registry([register(StartUpdates, UpdatesWorkflow())]),
                store=PostgresStore(SERVICE, pool, upkeep),
                publisher=JetStreamPublisher(client),
                statuses=JetStreamStatusBucket(client),
                clock=SystemClock(),
                monotonic=monotonic,
                settings=SETTINGS,
            ),
            stream_created=await topology.created_at(js, subjects.workflows_stream(SERVICE)),
            workers=workers,
        )
