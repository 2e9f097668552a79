"""Each test here runs twice: on the in-memory twins and on the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from typing import Protocol

import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages.workflows import Status
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.memory import MemoryStore
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.rig import DueStore, Rig
from shared.testing.samples import EFFECTS_SQL, SampleWorkflow, StartSample
from shared.testing.servers import Databases
from shared.workflow.records import InstanceKey
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings


class Bench(Protocol):
    """A rig and what its steps left outside the engine."""

    @property
    def rig(self) -> Rig: ...
    @property
    def store(self) -> DueStore: ...
    @property
    def workflow(self) -> SampleWorkflow: ...

    async def effects(self, workflow_id: str) -> list[str]: ...
    async def dead_letters(self) -> list[tuple[str, str]]:
        """Reason and subject of each, as they came."""
        ...

    async def shown(self, key: InstanceKey) -> Status | None:
        """The status as the bucket has it."""
        ...


LEASE_SECONDS = 0.5


class MemoryBench:
    def __init__(self, settings: EngineSettings) -> None:
        self.workflow = SampleWorkflow()
        self.store = MemoryStore(monotonic)
        self.statuses = MemoryStatusBucket()
        self.rig = Rig(
            [register(StartSample, self.workflow)],
            store=self.store,
            statuses=self.statuses,
            settings=settings,
        )

    async def effects(self, workflow_id: str) -> list[str]:
        return [args[1] for _, args in self.store.effects if args[0] == workflow_id]

    async def dead_letters(self) -> list[tuple[str, str]]:
        return [(letter.reason, letter.subject) for letter in self.store.dead_letters.values()]

    async def shown(self, key: InstanceKey) -> Status | None:
        stored = await self.statuses.get(key)
        return None if stored is None else stored.document.status


class RealBench:
    def __init__(
        self,
        rig: Rig,
        store: PostgresStore,
        workflow: SampleWorkflow,
        statuses: JetStreamStatusBucket,
    ):
        self.rig = rig
        self.store = store
        self.workflow = workflow
        self.statuses = statuses

    async def effects(self, workflow_id: str) -> list[str]:
        async with self.store.transaction() as transaction:
            found = await transaction.connection.fetch(
                "SELECT step FROM effects WHERE workflow_id = $1 ORDER BY id", workflow_id
            )
        return [row["step"] for row in found]

    async def dead_letters(self) -> list[tuple[str, str]]:
        async with self.store.transaction() as transaction:
            found = await transaction.connection.fetch(
                "SELECT reason, subject FROM dead_letters ORDER BY id"
            )
        return [(row["reason"], row["subject"]) for row in found]

    async def shown(self, key: InstanceKey) -> Status | None:
        stored = await self.statuses.get(key)
        return None if stored is None else stored.document.status


@pytest.fixture
def engine_settings() -> EngineSettings:
    """Short leases for tests that wait for one; segments that no slow machine breaks up."""
    return EngineSettings(lease_seconds=LEASE_SECONDS, segment_seconds=10)


@pytest.fixture(scope="session")
def sample_sql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The effect log's migration."""
    folder = tmp_path_factory.mktemp("sample-sql")
    (folder / "0001_effects.sql").write_text(EFFECTS_SQL)
    return folder


@pytest.fixture
def memory_bench(engine_settings: EngineSettings) -> Bench:
    """A rig on the twins."""
    return MemoryBench(engine_settings)


@pytest.fixture
async def real_bench(
    engine_settings: EngineSettings, databases: Databases, nats_url: str, sample_sql: Path
) -> AsyncIterator[Bench]:
    """A rig on PostgreSQL and JetStream."""
    url = await databases.create("sample", {"engine": ENGINE_SQL, "sample": sample_sql})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.drop, url)
        client = await connect(nats_url, "bench")
        stack.push_async_callback(client.close)
        await topology.ensure(jetstream(client), "sample", ["sample"])
        pools = [
            await create_pool(
                url, size=8, name="bench", idle_timeout_seconds=engine_settings.lease_seconds
            )
            for _ in range(2)
        ]
        for pool in pools:
            stack.callback(pool.terminate)
        store = PostgresStore("sample", *pools)
        workflow = SampleWorkflow()
        statuses = JetStreamStatusBucket(client)
        rig = Rig(
            [register(StartSample, workflow)],
            store=store,
            publisher=JetStreamPublisher(client),
            statuses=statuses,
            settings=engine_settings,
        )
        yield RealBench(rig, store, workflow, statuses)


@pytest.fixture(params=["memory", "real"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """A rig on either."""
    chosen: Bench = request.getfixturevalue(f"{request.param}_bench")
    return chosen
