"""The billing service in process, in replicas, on the real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg
from nats.aio.client import Client

from services.billing.app import define
from services.billing.config import BillingSettings
from services.billing.payments.books import Booked
from shared.jetstream.publisher import JetStreamPublisher
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import Trigger
from shared.runtime.clocks import SystemClock
from shared.runtime.config import Secret
from shared.runtime.service import Service
from shared.workflow.records import OutboxMessage
from tests import books

T = TypeVar("T")

BOUND_SECONDS = 60.0
LOOK_SECONDS = 0.05
NEVER = "0 0 1 1 *"
"""No sweep by the clock: the tests say who is triggered."""


@dataclass
class House:
    """A database, a NATS, and as many replicas as were started."""

    database_url: str
    nats_url: str
    pool: asyncpg.Pool[asyncpg.Record]
    client: Client
    replicas: list[tuple[Service, asyncio.Task[str | None]]] = field(
        default_factory=list[tuple[Service, "asyncio.Task[str | None]"]]
    )

    def open(self, replicas: int) -> None:
        """Starts so many replicas."""
        settings = BillingSettings(
            nats_url=Secret(self.nats_url),
            database_url=Secret(self.database_url),
            http_port=0,
            payment_provider="sandbox",
            sandbox_webhook_secret=Secret("whsec_test"),
            billing_sweep_cron=NEVER,
            timekeeper_seconds=0.1,
            drain_seconds=5.0,
        )
        for _ in range(replicas):
            service = Service(define(settings), settings)
            self.replicas.append((service, asyncio.create_task(service.run())))

    async def close(self) -> None:
        """Drains and ends all replicas; none may have failed."""
        for service, _ in self.replicas:
            service.stop()
        async with asyncio.timeout(BOUND_SECONDS):
            failures = await asyncio.gather(*(task for _, task in self.replicas))
        self.replicas.clear()
        assert failures == [None] * len(failures)

    async def start(self, triggers: Sequence[Trigger]) -> None:
        """Starts instances by bare publishes."""
        await JetStreamPublisher(self.client).publish(
            [
                OutboxMessage(id="", subject=subjects.start(each.kind), body=encode(each))
                for each in triggers
            ]
        )

    async def complaints(self, found: Sequence[Booked]) -> list[str]:
        """In what the service's tables and the sandbox's books differ."""
        async with self.pool.acquire() as connection:
            return await books.complaints(connection, found, SystemClock().now())

    async def until(self, query: str, *args: Any) -> None:
        """Returns once the query is true of what is committed. Bounded."""
        await eventually(lambda: self.pool.fetchval(query, *args), bool)

    async def until_all_ended(self, least: int) -> None:
        """Returns once so many instances or more are there, and all of them complete."""
        await self.until(
            """
            SELECT count(*) >= $1 AND bool_and(status = 'complete')
               AND NOT EXISTS (SELECT FROM outbox WHERE sent_at IS NULL)
            FROM workflow_instances
            """,
            least,
        )


async def eventually(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """What is seen once the condition holds. Bounded."""
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            seen = await look()
            if holds(seen):
                return seen
            await asyncio.sleep(LOOK_SECONDS)
