"""A storm over billing: a thousand subscriptions fall due at once while its processes are hit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg
from nats.aio.client import Client

import services.billing
from shared.jetstream.connection import connect
from shared.jetstream.patience import PASSING
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.topology import kinds_by_service
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.events import EventEnvelope
from shared.messages.workflows import StartBillingSweep, StartCustomer, Trigger
from shared.runtime.virtual.coordinator import Coordinator
from shared.workflow.errors import Transient
from shared.workflow.records import OutboxMessage
from tests import books
from tests.cluster import Cluster, OwnService, running_cluster
from tests.faults.chaos import Chaos
from tests.faults.schedule import Blow, Victims, schedule
from tests.faults.witness import EXAMPLES, Witness, complain, differ
from tests.subscribers import customers, subscriptions

BILLING = "billing"
REPLICAS = 3
CUSTOMERS = 250
SUBSCRIPTIONS = 1000
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
SPAN = timedelta(days=3)
"""Enough for each way in which a payment can be late."""
METHODS = (
    *["pm_card_visa"] * 13,
    "sandbox_timeout_before_charging",
    "sandbox_timeout_after_charging",
    "sandbox_declined_3_then_succeeds",
    "sandbox_pending_1_days_then_succeeds",
    "sandbox_down_1_days_then_succeeds",
    "sandbox_webhook_first",
    "sandbox_webhook_twice_reordered",
)
"""Each of them pays in the end."""
PAUSE_SECONDS = 0.1
LOOK_SECONDS = 0.5
FIRST_ROUND_IS_OVER = """
    SELECT count(*) = $1 AND bool_and(a.state IS NOT NULL AND a.state <> 'submitted')
    FROM invoices AS i LEFT JOIN payment_attempts AS a ON a.invoice_id = i.id AND a.number = 1
"""
LONGEST_SECONDS = 180.0
"""What everything may take beyond the blows."""
NEVER = "0 0 1 1 *"
SETTINGS = {
    "CLOCK": "virtual",
    "CLOCK_START": START.isoformat(),
    "LEASE_SECONDS": "2",
    "ACK_WAIT_SECONDS": "2",
    "LOG_LEVEL": "warning",
}


@dataclass(frozen=True)
class Report:
    """What a storm over billing did, and what it broke."""

    seed: int
    seconds: float
    triggers: int
    payments: int
    requests: int
    stops: int
    blows: Counter[str]
    complaints: list[str]
    own_deaths: list[str]

    def __str__(self) -> str:
        blows = ", ".join(f"{number} {kind}" for kind, number in sorted(self.blows.items()))
        return (
            f"storm over billing with seed {self.seed}: {self.triggers} triggers, "
            f"{self.payments} payments by {self.requests} requests, {self.stops} stops of the "
            f"clock, blows: {blows}, {self.seconds:.1f} s"
        )


class BillingWitness(Witness):
    """Beside what is true of every service: the sandbox's books, which nobody here writes."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], client: Client, due: Sequence[UUID]
    ) -> None:
        super().__init__(BILLING, pool, client)
        self._due = due

    async def _own(self, events: list[EventEnvelope]) -> list[str]:
        found = await books.booked(self._pool)
        charged = books.charges(found)
        succeeded = [each.key for each in found if each.state == "succeeded"]
        async with self._pool.acquire() as connection:
            wrong = await books.complaints(connection, found, START + SPAN)
        return [
            *differ(
                "subscriptions with a charge for the period",
                {each.subscription for each in charged},
                {str(each) for each in self._due},
            ),
            *complain("payments in flight", [each for each in found if each.state == "pending"]),
            *complain("charges beyond one a period", succeeded[len(self._due) :]),
            *wrong,
        ]


class Triggers:
    """Starts the sweep twice, and runs of customers at random beside it."""

    def __init__(self, client: Client, customer_ids: Sequence[UUID], seed: int) -> None:
        self.started = 0
        self._publisher = JetStreamPublisher(client)
        self._customer_ids = customer_ids
        self._random = Random(seed)

    async def sweep(self, name: str) -> None:
        """All who have something due."""
        await self._start(StartBillingSweep(id=name))

    async def play(self, ended: asyncio.Event) -> None:
        """One customer after the other, whether or not something is due."""
        while not ended.is_set():
            customer_id = self._random.choice(self._customer_ids)
            await self._start(StartCustomer(id=f"again-{self.started}", customer_id=customer_id))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _start(self, trigger: Trigger) -> None:
        message = OutboxMessage(id="", subject=subjects.start(trigger.kind), body=encode(trigger))
        while True:
            try:
                await self._publisher.publish([message])
            except Transient:
                continue  # the same id again: it starts once
            self.started += 1
            return


async def billing_storm(
    seed: int, seconds: float, logs: Path, say: Callable[[str], None]
) -> Report:
    """One storm with blows for so many seconds; its schedule is said before it begins."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            running_cluster(
                logs, replicas=REPLICAS, settings=SETTINGS, own=_billing(), players=False
            )
        )
        pool = await asyncpg.create_pool(cluster.databases[BILLING], min_size=0, max_size=4)
        stack.callback(pool.terminate)
        async with pool.acquire() as connection:
            customer_ids = await customers(connection, CUSTOMERS, START, METHODS)
            each = SUBSCRIPTIONS // CUSTOMERS
            due = await subscriptions(connection, customer_ids, START, START, each=each)
        client = await connect(cluster.nats_url, "storm")
        stack.push_async_callback(client.close)
        chaos = Chaos(cluster)
        stack.push_async_callback(chaos.leave)
        blows = _blows(seed, seconds, cluster)
        for blow in blows:
            say(str(blow))
        triggers = Triggers(client, customer_ids, seed)
        loop = asyncio.get_running_loop()
        # The bound is this storm's own: at the first look there is less to do than ever again.
        coordinator = Coordinator(client, [BILLING], patience_seconds=LONGEST_SECONDS)
        began = loop.time()
        chaos.guard()
        async with asyncio.timeout(seconds + LONGEST_SECONDS):
            stops = await _rage(chaos, blows, triggers, coordinator, pool)
        witness = BillingWitness(pool, client, due)
        found = await books.booked(pool)
        return Report(
            seed=seed,
            seconds=loop.time() - began,
            triggers=triggers.started,
            payments=len(found),
            requests=sum(each.requests for each in found),
            stops=stops,
            blows=chaos.blows,
            complaints=[*await witness.unsettled(), *await witness.complaints()],
            own_deaths=chaos.own_deaths[-EXAMPLES:],
        )


def _billing() -> OwnService:
    return OwnService(
        BILLING,
        services.billing.__name__,
        tuple(kinds_by_service()[BILLING]),
        Path(services.billing.__path__[0]) / "sql",
        lambda gateway: {
            "PAYMENT_PROVIDER": "sandbox",
            "SANDBOX_WEBHOOK_SECRET": "whsec_storm",
            "SANDBOX_WEBHOOK_URL": f"{gateway}/api/webhooks/sandbox",
            "BILLING_SWEEP_CRON": NEVER,
        },
    )


def _blows(seed: int, seconds: float, cluster: Cluster) -> tuple[Blow, ...]:
    """Of billing's replicas, PostgreSQL and NATS, which loses nothing."""
    victims = Victims(
        services=tuple(child.name for child in cluster.own),
        nodes=tuple(node.name for node in cluster.nats.nodes),
        postgres=cluster.postgres.name,
        streams=(subjects.workflows_stream(BILLING),),
    )
    return tuple(blow for blow in schedule(seed, seconds, victims) if blow.kind != "loss")


async def _rage(
    chaos: Chaos,
    blows: tuple[Blow, ...],
    triggers: Triggers,
    coordinator: Coordinator,
    pool: asyncpg.Pool[asyncpg.Record],
) -> int:
    """Blows and triggers while all is charged for the first time, and while days pass; how often
    the clock was set."""
    ended = asyncio.Event()
    await triggers.sweep("first")
    async with asyncio.TaskGroup() as group:
        group.create_task(triggers.play(ended))
        passing = group.create_task(_pass_time(coordinator, pool))
        await chaos.rage(blows, _nothing)
        ended.set()
    await triggers.sweep("second")
    journey = await coordinator.advance(START + SPAN)
    return passing.result() + journey.stops


async def _pass_time(coordinator: Coordinator, pool: asyncpg.Pool[asyncpg.Record]) -> int:
    """Half of the time, once everything was charged for the first time: a coordinator that waits
    asks the processes so often that they come to little else."""
    while True:
        # The last is how the library meets a session that the server has ended.
        trouble = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
        with suppress(*PASSING, *trouble):
            if await pool.fetchval(FIRST_ROUND_IS_OVER, SUBSCRIPTIONS):
                break
        await asyncio.sleep(LOOK_SECONDS)
    return (await coordinator.advance(START + SPAN / 2)).stops


async def _nothing() -> None: ...
