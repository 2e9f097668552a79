"""A world in which a test writes its own `run`: on the twins in memory and on the real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Protocol

import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages.workflows import StatusDocument, Trigger
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.clocks import ManualClock
from shared.testing.faults import Faults, FaultyPublisher, FaultyStatusBucket, FaultyStore
from shared.testing.journeys import Approved, Outside
from shared.testing.memory import MemoryStore
from shared.testing.memory_delivery import MemoryPublisher
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.rig import DueStore, Rig
from shared.testing.servers import Databases
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Publisher, StatusBucket
from shared.workflow.records import InstanceKey
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings

KEY = InstanceKey("free", "one")

LOST_SECONDS = 36.0
"""After which neither the lease nor a call of a lost process can still be alive."""

Run = Callable[[WorkflowContext], Awaitable[object]]


class StartFree(Trigger, frozen=True, kw_only=True):
    kind = "free"
    service = "sample"
    signals = (Approved,)


class Free:
    """A workflow whose `run` is the test's."""

    kind = "free"

    def __init__(self, run: Run):
        self._run = run

    async def run(self, ctx: WorkflowContext, start: StartFree) -> object:
        return await self._run(ctx)


class MachineClock:
    """Machine time that a test may move on."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead_seconds


class Process:
    """One process among others: an executor of its own over the ports that all share."""

    def __init__(self, rig: Rig, machine: MachineClock):
        self.rig = rig
        self.machine = machine

    async def start(self, attempt: int = 1) -> str:
        """Delivers the start of the world's one instance; returns the outcome."""
        return await self.rig.start(StartFree(id=KEY.id), attempt=attempt)

    async def wake(self) -> str:
        """Delivers a wake; returns the outcome."""
        return await self.rig.wake(*KEY)


class World(Protocol):
    """What processes share, and what is left outside the engine."""

    store: DueStore
    clock: ManualClock
    outside: Outside

    def process(
        self,
        run: Run,
        *,
        faults: Faults | None = None,
        settings: EngineSettings | None = None,
        statuses: StatusBucket | None = None,
    ) -> Process:
        """A process whose workflow is `run`."""
        ...

    async def effects(self) -> list[str]:
        """What steps have left."""
        ...

    async def letters(self) -> list[tuple[str, str]]:
        """Subjects and reasons of the dead letters."""
        ...

    async def forget(self) -> None:
        """Begins anew: no instance, no effects, an outside world with empty books."""
        ...

    async def pass_seconds(self, seconds: float) -> None:
        """Lets machine time go by for all: leases run out, calls grow old."""
        ...

    async def status(self) -> StatusDocument:
        """The status as the journal has it."""
        ...


SETTINGS = EngineSettings(
    lease_seconds=20,
    segment_seconds=10,
    call_timeout_seconds=30,
    call_grace_seconds=5,
    branch_connections=2,
)


class BaseWorld:
    def __init__(self, store: DueStore, publisher: Publisher, statuses: StatusBucket):
        self.store = store
        self.clock = ManualClock()
        self.outside = Outside()
        self._publisher = publisher
        self._statuses = statuses
        self._machines: list[MachineClock] = []

    def process(
        self,
        run: Run,
        *,
        faults: Faults | None = None,
        settings: EngineSettings | None = None,
        statuses: StatusBucket | None = None,
    ) -> Process:
        faults = faults or Faults()
        machine = MachineClock()
        self._machines.append(machine)
        rig = Rig(
            [register(StartFree, Free(run))],
            clock=self.clock,
            settings=settings or SETTINGS,
            store=FaultyStore(self.store, faults),
            publisher=FaultyPublisher(self._publisher, faults),
            statuses=FaultyStatusBucket(statuses or self._statuses, faults),
            monotonic=machine,
        )
        return Process(rig, machine)

    async def status(self) -> StatusDocument:
        return await self.process(_nothing).rig.status(*KEY)

    def _pass(self, seconds: float) -> None:
        for machine in self._machines:
            machine.ahead_seconds += seconds


async def _nothing(_: WorkflowContext) -> None: ...


class MemoryWorld(BaseWorld):
    def __init__(self) -> None:
        self._machine = MachineClock()
        self._memory = MemoryStore(self._machine)
        super().__init__(self._memory, MemoryPublisher(), MemoryStatusBucket())

    async def effects(self) -> list[str]:
        return [args[1] for _, args in self._memory.effects]

    async def letters(self) -> list[tuple[str, str]]:
        return [(each.subject, each.reason) for each in self._memory.dead_letters.values()]

    async def forget(self) -> None:
        store = self._memory
        for table in (store.rows, store.journals, store.inbox.rows, store.outbox, store.effects):
            table.clear()
        self._statuses = MemoryStatusBucket()
        self.outside = Outside()

    async def pass_seconds(self, seconds: float) -> None:
        self._machine.ahead_seconds += seconds
        self._pass(seconds)


class RealWorld(BaseWorld):
    def __init__(self, store: PostgresStore, publisher: Publisher, statuses: JetStreamStatusBucket):
        super().__init__(store, publisher, statuses)
        self._postgres = store
        self._bucket = statuses

    async def effects(self) -> list[str]:
        async with self._postgres.transaction() as transaction:
            found = await transaction.connection.fetch("SELECT step FROM effects ORDER BY id")
        return [row["step"] for row in found]

    async def letters(self) -> list[tuple[str, str]]:
        async with self._postgres.transaction() as transaction:
            found = await transaction.connection.fetch("SELECT subject, reason FROM dead_letters")
        return [(row["subject"], row["reason"]) for row in found]

    async def forget(self) -> None:
        async with self._postgres.transaction() as transaction:
            for table in ("workflow_instances", "workflow_journal", "inbox", "outbox", "effects"):
                await transaction.connection.execute(f"DELETE FROM {table}")
            await transaction.commit()
        await self._bucket.delete(KEY, (9, 0))
        self.outside = Outside()

    async def pass_seconds(self, seconds: float) -> None:
        back = timedelta(seconds=seconds)
        async with self._postgres.transaction() as transaction:
            await transaction.connection.execute(
                "UPDATE workflow_instances SET lease_until = lease_until - $1::interval,"
                " due_at = due_at - CASE due_clock WHEN 'machine' THEN $1::interval ELSE '0' END",
                back,
            )
            await transaction.connection.execute(
                "UPDATE workflow_journal SET attempted_at = attempted_at - $1::interval", back
            )
            await transaction.commit()
        self._pass(seconds)


@pytest.fixture
async def real_world(
    databases: Databases, nats_url: str, sample_sql: Path
) -> AsyncIterator[RealWorld]:
    """PostgreSQL and JetStream."""
    url = await databases.create("sample", {"engine": ENGINE_SQL, "sample": sample_sql})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.drop, url)
        client = await connect(nats_url, "world")
        stack.push_async_callback(client.close)
        await topology.ensure(jetstream(client), "sample", ["free"])
        pools = [
            await create_pool(
                url, size=8, name="world", idle_timeout_seconds=SETTINGS.lease_seconds
            )
            for _ in range(2)
        ]
        for pool in pools:
            stack.callback(pool.terminate)
        store = PostgresStore("sample", *pools)
        yield RealWorld(store, JetStreamPublisher(client), JetStreamStatusBucket(client))


@pytest.fixture
def memory_world() -> MemoryWorld:
    """The twins."""
    return MemoryWorld()


@pytest.fixture(params=["memory", "real"])
def world(request: pytest.FixtureRequest) -> World:
    """Either."""
    chosen: World = request.getfixturevalue(f"{request.param}_world")
    return chosen
