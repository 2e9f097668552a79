"""What player and billing tell on NATS becomes numbers that a query answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.maintenance.app import define
from services.maintenance.config import MaintenanceSettings
from services.player.app import service as player_service
from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.requests import Requests, Unavailable
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.billing import PaymentSucceeded
from shared.messages.events import EventEnvelope
from shared.messages.maintenance import AnalyticsQuery, AnalyticsReport, SystemReport
from shared.messages.player import CreatePlayer, LoggedIn
from shared.messages.workflows import StartSystem
from shared.runtime.config import load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service
from shared.testing.clocks import ManualClock
from shared.workflow.records import InstanceKey

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEXT_DAY = NOON + timedelta(days=1)
BOUND_SECONDS = 60


class House:
    """A player service and two replicas of maintenance, at one instant."""

    def __init__(self, nats_url: str, clock: ManualClock):
        self.nats_url = nats_url
        self.clock = clock
        self.stack = AsyncExitStack()

    async def begin(
        self, define: Callable[[Any], ServiceDefinition], settings: ServiceSettings
    ) -> None:
        service = Service(define(settings), settings, self.clock)
        running = asyncio.create_task(service.run())

        async def stop() -> None:
            service.stop()
            assert await running is None

        self.stack.push_async_callback(stop)


@pytest.fixture
async def house(
    nats_url: str, make_database: Callable[[str], Awaitable[str]]
) -> AsyncIterator[House]:
    clock = ManualClock()
    clock.set(NOON)
    house = House(nats_url, clock)
    environment = {"NATS_URL": nats_url, "HTTP_PORT": "0"}
    player = environment | {"DATABASE_URL": await make_database("player")}
    maintenance = environment | {"DATABASE_URL": await make_database("maintenance")}
    async with house.stack:
        await house.begin(lambda _: player_service(), load(ServiceSettings, player))
        for _ in range(2):
            await house.begin(define, load(MaintenanceSettings, maintenance))
        yield house


@pytest.mark.rule("maintenance-analytics", "maintenance-order")
async def test_a_players_run_and_a_payment_become_numbers(house: House) -> None:
    client = await connect(house.nats_url, "test")
    house.stack.push_async_callback(close, client)
    js, requests = jetstream(client), Requests(client)
    heard = await client.subscribe("events.>")
    player_id = uuid4()
    await eventually(
        lambda: requests.request(
            subjects.command("player", "create_player"), CreatePlayer(id=player_id), Message
        )
    )
    await js.publish(subjects.ingest("player", "login"), encode(LoggedIn(player_id=player_id)))
    told: set[str] = set()
    while not {"player_logged_in", "daily_reward_claimed"} <= told:
        message = await heard.next_msg(timeout=BOUND_SECONDS)
        told.add(message.subject.rpartition(".")[2])
    for _ in range(2):
        await js.publish(subjects.event("billing", "payment_succeeded"), payment())
    consumer = subjects.events_consumer("maintenance")
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            info = await js.consumer_info(subjects.EVENTS_STREAM, consumer)
            if not (info.num_pending or info.num_ack_pending):
                break
    house.clock.set(NEXT_DAY)
    await js.publish(subjects.start("system"), encode(StartSystem(id="night")))
    statuses = JetStreamStatusBucket(client)
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            stored = await statuses.get(InstanceKey("system", "night"))
            if stored is not None and stored.document.status.ended:
                break
    report = msgspec.json.decode(stored.document.output, type=SystemReport)
    assert report.failures == ()
    assert report.analytics is not None
    assert report.analytics.closed_until == datetime(2026, 3, 2, tzinfo=UTC)

    async def value(metric: Any) -> list[tuple[str | None, Any]]:
        query = AnalyticsQuery(metric=metric, from_=NOON, to=NOON + timedelta(hours=1))
        answer = await requests.request(
            subjects.query("maintenance", "analytics"), query, AnalyticsReport
        )
        return [(each.currency, each.buckets[0].value) for each in answer.series]

    assert await value("active_players") == [(None, 1)]
    assert await value("rewards") == [(None, 1)]
    assert await value("revenue") == [("EUR", 999)]


def payment() -> bytes:
    event = PaymentSucceeded(
        invoice_id=UUID(int=1),
        subscription_id=UUID(int=1),
        customer_id=UUID(int=1),
        plan_id="plus",
        period_start=NOON,
        period_end=NOON,
        amount_minor=999,
        currency="EUR",
        number=1,
        initiator="cycle",
        provider="sandbox",
    )
    return encode(
        EventEnvelope(
            id="fact-1", name=event.name, occurred_at=NOON, data=msgspec.Raw(encode(event))
        )
    )


async def eventually(attempt: Callable[[], Awaitable[object]]) -> None:
    """Until the service answers."""
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            with suppress(Unavailable):
                await attempt()
                return
