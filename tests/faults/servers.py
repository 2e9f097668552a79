"""The service on PostgreSQL and JetStream, with leases that are short enough to wait for."""

from __future__ import annotations

import asyncio
from datetime import datetime
from time import monotonic
from typing import Any

from shared.jetstream import topology
from shared.messages import subjects
from shared.runtime.timekeeper import Timekeeper
from shared.workflow.ports import Delivery
from shared.workflow.records import InstanceKey
from tests.faults.service import Service
from tests.faults.sweep import LEASE_SECONDS, SETTINGS, World

TABLES = "workflow_instances, workflow_journal, outbox, inbox, dead_letters, effects"


class ServerService(Service):
    """See service.Service."""

    def __init__(self, world: World):
        super().__init__(world.store, world.publisher, world.statuses, monotonic, SETTINGS)
        self.witness = world.witness
        self._world = world

    @classmethod
    async def afresh(cls, world: World) -> ServerService:
        """One that finds nothing there."""
        for stream in await world.js.streams_info():
            await world.js.delete_stream(stream.config.name or "")
        await topology.ensure(world.js, "sample", ["tree"], ack_wait_seconds=LEASE_SECONDS)
        await world.subscribe()
        async with world.witness.transaction() as transaction:
            await transaction.connection.execute(f"TRUNCATE {TABLES}")
            await transaction.commit()
        return cls(world)

    async def next_delivery(self) -> Delivery | None:
        """See Service."""
        return await self._world.next_message()

    async def outlast_leases(self) -> None:
        """See Service."""
        await asyncio.sleep(2 * LEASE_SECONDS)

    async def pass_machine_time(self) -> bool:
        """See Service."""
        world = self._world
        if await world.waiting():
            return True
        timekeeper = Timekeeper(world.witness, self.publisher, self.clock, interval_seconds=1)
        ticked = await timekeeper.tick()
        relayed = await world.witness.relay(
            self.publisher.publish, older_than_seconds=0, limit=1000
        )
        leased = await self._rows("SELECT 1 FROM workflow_instances WHERE due_clock = 'machine'")
        return bool(ticked or relayed or leased)

    async def next_due_at(self) -> datetime | None:
        """See Service."""
        rows = await self._rows(
            "SELECT min(due_at) FROM workflow_instances WHERE due_clock = 'business'"
        )
        due_at: datetime | None = rows[0][0]
        return due_at

    async def keys(self) -> list[InstanceKey]:
        """See Service."""
        rows = await self._rows("SELECT kind, id FROM workflow_instances ORDER BY created_at, id")
        return [InstanceKey(*row) for row in rows]

    async def effects(self, workflow_id: str) -> list[str]:
        """See Service."""
        rows = await self._rows("SELECT workflow_id, step FROM effects ORDER BY id")
        return [step for owner, step in rows if owner == workflow_id]

    async def outbox(self) -> dict[str, bool]:
        """See Service."""
        rows = await self._rows(
            "SELECT message_id, sent_at IS NOT NULL FROM outbox WHERE subject LIKE 'events.%'"
        )
        return dict(rows)

    async def events(self) -> list[bytes]:
        """See Service."""
        js = self._world.js
        last = (await js.stream_info(subjects.EVENTS_STREAM)).state.last_seq
        found = [await js.get_msg(subjects.EVENTS_STREAM, seq + 1) for seq in range(last)]
        return [message.data or b"" for message in found]

    async def letters(self) -> list[tuple[str, str, bytes]]:
        """See Service."""
        return await self._rows("SELECT reason, subject, body FROM dead_letters")

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self._world.witness.transaction() as transaction:
            return [tuple(row) for row in await transaction.connection.fetch(query)]
