"""A harness's world on a real PostgreSQL and a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from nats.aio.client import Client
from nats.aio.subscription import Subscription

from shared.jetstream.connection import jetstream
from shared.jetstream.delivery import JetStreamDelivery
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.postgres.store import PostgresStore
from shared.testing.clocks import MachineTime
from shared.workflow.ports import Connection, Delivery
from shared.workflow.records import DeadLetter, InstanceKey, OutboxMessage

NAME = "harness"
ANSWER_SECONDS = 10.0

# Leases and delays are stamps of the machine's clock; moved back, they have run out.
MOVE_STAMPS = """
    WITH instances AS (
        UPDATE workflow_instances SET
            lease_until = lease_until - make_interval(secs => $1),
            due_at = CASE due_clock WHEN 'machine' THEN due_at - make_interval(secs => $1)
                                    ELSE due_at END
        WHERE due_clock = 'machine' OR lease_until IS NOT NULL
    ), journal AS (
        UPDATE workflow_journal SET attempted_at = attempted_at - make_interval(secs => $1)
        WHERE attempted_at IS NOT NULL AND finished_at IS NULL
    )
    UPDATE inbox SET due_at = due_at - make_interval(secs => $1) WHERE read_at IS NULL
"""
# What idle_in_transaction_session_timeout does to a frozen worker.
CUT_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1
        AND state LIKE 'idle in transaction%'
"""
NEXT_DUE = "SELECT min(due_at) FROM workflow_instances WHERE due_clock = 'business'"
AWAITS_MACHINE_TIME = "SELECT EXISTS (SELECT FROM workflow_instances WHERE due_clock = 'machine')"
INSTANCES = "SELECT kind, id FROM workflow_instances ORDER BY created_at, kind, id"
DEAD_LETTERS = """
    SELECT origin, subject, headers, body, reason, detail, occurred_at FROM dead_letters ORDER BY id
"""


class ServerWorld:
    """See World."""

    def __init__(
        self,
        *,
        client: Client,
        store: PostgresStore,
        upkeep: asyncpg.Pool[asyncpg.Record],
        service: str,
        created: str,
        inbox: Subscription,
    ):
        self.machine = MachineTime()
        self.store = store
        self.publisher = JetStreamPublisher(client)
        self.statuses = JetStreamStatusBucket(client)
        self._client = client
        self._js = jetstream(client)
        self._upkeep = upkeep
        self._stream = subjects.workflows_stream(service)
        self._created = created
        self._inbox = inbox
        self._consumers = (
            subjects.starts_consumer(service),
            subjects.controls_consumer(service),
            subjects.wakes_consumer(service),
        )

    async def pull(self, held: int) -> Delivery | None:
        """See World."""
        async with asyncio.timeout(ANSWER_SECONDS):
            # Counted and not handed out: just stored, or just acknowledged. Neither lasts.
            while (await self._js.stream_info(self._stream)).state.messages > held:
                for consumer in self._consumers:
                    delivery = await self._next(consumer)
                    if delivery is not None:
                        return delivery
        return None

    async def _next(self, consumer: str) -> Delivery | None:
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}",
            b'{"batch": 1, "no_wait": true}',
            reply=self._inbox.subject,
        )
        message = await self._inbox.next_msg(timeout=ANSWER_SECONDS)
        if not message.reply:
            return None
        return JetStreamDelivery(self._client, message, self._created)

    async def relay(self) -> int:
        """See World."""
        await self.store.flush_sent()
        return await self.store.relay(self.publisher.publish, older_than_seconds=0, limit=1000)

    async def next_due_at(self) -> datetime | None:
        """See World."""
        found: datetime | None = await self._upkeep.fetchval(NEXT_DUE)
        return found

    async def awaits_machine_time(self) -> bool:
        """See World."""
        return bool(await self._upkeep.fetchval(AWAITS_MACHINE_TIME))

    async def pass_machine_time(self, seconds: float) -> None:
        """See World."""
        await self._upkeep.execute(CUT_OFF, NAME)
        await self._upkeep.execute(MOVE_STAMPS, seconds)
        self.machine.advance(seconds)

    async def instances(self) -> list[InstanceKey]:
        """See World."""
        return [InstanceKey(*row) for row in await self._upkeep.fetch(INSTANCES)]

    async def events(self) -> list[OutboxMessage]:
        """See World."""
        info = await self._js.stream_info(subjects.EVENTS_STREAM)
        found: list[OutboxMessage] = []
        for sequence in range(1, info.state.last_seq + 1):
            message = await self._js.get_msg(subjects.EVENTS_STREAM, sequence)
            found.append(
                OutboxMessage(
                    id=str(sequence), subject=message.subject or "", body=message.data or b""
                )
            )
        return found

    async def dead_letters(self) -> list[DeadLetter]:
        """See World."""
        return [
            DeadLetter(
                origin=row["origin"],
                subject=row["subject"],
                headers=msgspec.json.decode(row["headers"]),
                body=row["body"],
                reason=row["reason"],
                detail=row["detail"],
                at=row["occurred_at"],
            )
            for row in await self._upkeep.fetch(DEAD_LETTERS)
        ]

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """See World."""
        async with self._upkeep.acquire() as connection:
            yield connection

    @property
    def statements(self) -> Sequence[tuple[str, tuple[Any, ...]]]:
        """See World."""
        raise AssertionError(
            "on servers statements are not recorded: look at the rows (await harness.rows(...))"
        )
