"""The caches with the owners and maintenance behind them: an event empties one, and so may you."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from nats.aio.client import Client

from services.billing.app import define as define_billing
from services.billing.config import BillingSettings
from services.maintenance.app import define as define_maintenance
from services.maintenance.config import MaintenanceSettings
from services.player.app import service as player_service
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.connection import jetstream
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.billing import Limits, Plan, PlanEdited, UpdatePlan
from shared.messages.events import Event, EventEnvelope
from shared.messages.maintenance import CacheName
from shared.messages.player import Achievement, CatalogueChanged, UpdateAchievement
from shared.runtime.config import load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service

Http = TestClient[Request, Application]
MakeDatabase = Callable[[str], Awaitable[str]]

BOUND_SECONDS = 30.0
ACHIEVEMENT = {"id": "one", "name": "One", "type": "level", "threshold": 3}
PLAN = {
    "id": "pro",
    "name": "Pro",
    "price": "9.99",
    "currency": "EUR",
    "interval": "month",
    "limits": {"apiCalls": 3},
}


class Reader(NamedTuple):
    """What is read through one of the caches, and the ways to change it besides HTTP."""

    cache: CacheName
    path: str
    shown: Callable[[Any], Any]
    sql: str
    event: Event
    command: str
    message: Message
    answer: type[Message]

    @property
    def owner(self) -> str:
        return self.command.split(".")[1]


def name_of_one(body: Any) -> Any:
    return next(each["name"] for each in body["achievements"] if each["id"] == "one")


def limit_of_pro(body: Any) -> Any:
    return body["limits"]["apiCalls"]


CATALOGUE = Reader(
    "achievements",
    "/api/achievements",
    name_of_one,
    "UPDATE achievements SET name = 'changed' WHERE id = 'one'",
    CatalogueChanged(achievement_id="one"),
    "commands.player.update_achievement",
    UpdateAchievement(id="one", name="changed"),
    Achievement,
)
LIMITS = Reader(
    "plans",
    "/api/plans/pro",
    limit_of_pro,
    "UPDATE plans SET limit_api_calls = 7 WHERE id = 'pro'",
    PlanEdited(plan_id="pro"),
    "commands.billing.update_plan",
    UpdatePlan(plan_id="pro", limits=Limits(api_calls=7)),
    Plan,
)
READERS = pytest.mark.parametrize("reader", [CATALOGUE, LIMITS], ids=lambda each: each.cache)


@dataclass
class House:
    """A caller of the gateway, with all services behind it."""

    http: Http
    client: Client
    databases: dict[str, str]

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(path) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.post(path, json=body) as answer:
            return answer.status, await answer.json()

    async def shown(self, reader: Reader) -> Any:
        return reader.shown((await self.get(reader.path))[1])

    async def until(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """What is read once it holds; each look is a request. Bounded."""
        async with asyncio.timeout(BOUND_SECONDS):
            while not ((seen := await self.get(path))[0] == 200 and holds(seen[1])):
                pass
        return seen[1]

    async def behind_the_back(self, reader: Reader) -> None:
        """Changes what is read, so that nobody is told."""
        connection = await asyncpg.connect(self.databases[reader.owner])
        await connection.execute(reader.sql)
        await connection.close()

    async def cache(self, name: CacheName) -> Any:
        _, body = await self.get("/api/caches")
        return next(each for each in body["caches"] if each["namespace"] == name)


@pytest.fixture
async def house(
    nats_url: str, nats_client: Client, http: Http, make_database: MakeDatabase
) -> AsyncIterator[House]:
    databases = {name: await make_database(name) for name in ("player", "billing", "maintenance")}

    def environment(name: str) -> dict[str, str]:
        return {"NATS_URL": nats_url, "DATABASE_URL": databases[name], "HTTP_PORT": "0"}

    sandbox = {"PAYMENT_PROVIDER": "sandbox", "SANDBOX_WEBHOOK_SECRET": "any"}
    billing = load(BillingSettings, environment("billing") | sandbox)
    maintenance = load(MaintenanceSettings, environment("maintenance"))
    made: list[tuple[ServiceDefinition, ServiceSettings]] = [
        (player_service(), load(ServiceSettings, environment("player"))),
        (define_billing(billing), billing),
        (define_maintenance(maintenance), maintenance),
    ]
    async with AsyncExitStack() as stack:
        for definition, settings in made:
            service = Service(definition, settings)
            running = asyncio.create_task(service.run())
            stack.push_async_callback(ended, service, running)
        house = House(http, nats_client, databases)
        await house.until("/api/caches", lambda _: True)
        for path, body in (("/api/achievements", ACHIEVEMENT), ("/api/plans", PLAN)):
            async with asyncio.timeout(BOUND_SECONDS):
                while (await house.post(path, body))[0] == 503:
                    pass
        # The events of what was just made have been heard: they empty no cache any more.
        await heard(nats_client)
        yield house


async def ended(service: Service, running: asyncio.Task[str | None]) -> None:
    service.stop()
    assert await running is None


async def heard(client: Client) -> None:
    """Returns once maintenance has heard both facts of the beginning, and acknowledged them."""
    js = jetstream(client)
    consumer = subjects.events_consumer("maintenance")
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            info = await js.consumer_info(subjects.EVENTS_STREAM, consumer)
            if info.ack_floor and info.ack_floor.consumer_seq >= 2 and not info.num_ack_pending:
                return


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_an_event_published_straight_to_nats_invalidates(
    house: House, reader: Reader
) -> None:
    before = await house.shown(reader)
    await house.behind_the_back(reader)
    assert await house.shown(reader) == before
    fact = EventEnvelope(
        id=str(uuid4()),
        name=reader.event.name,
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        data=msgspec.Raw(encode(reader.event)),
    )

    subject = subjects.event(reader.owner, reader.event.name)
    await jetstream(house.client).publish(subject, encode(fact))

    await house.until(reader.path, lambda body: reader.shown(body) in {"changed", 7})


@pytest.mark.rule("maintenance-cache")
@READERS
async def test_a_change_that_passes_by_the_gateway_invalidates_by_its_owners_event(
    house: House, reader: Reader
) -> None:
    assert await house.shown(reader) not in {"changed", 7}

    await Requests(house.client).request(reader.command, reader.message, reader.answer)

    await house.until(reader.path, lambda body: reader.shown(body) in {"changed", 7})


@pytest.mark.rule("maintenance-cache")
async def test_an_operator_sees_the_caches_and_empties_one(house: House) -> None:
    before = await house.shown(LIMITS)
    await house.shown(CATALOGUE)
    await house.behind_the_back(LIMITS)
    assert await house.shown(LIMITS) == before
    plans, achievements = await house.cache("plans"), await house.cache("achievements")
    assert (plans["entries"], plans["staleEntries"]) == (1, 0)

    status, state = await house.post("/api/caches/plans/invalidate")

    assert (status, state["entries"], state["staleEntries"]) == (200, 0, 1)
    assert state["generation"] != plans["generation"]
    assert await house.cache("achievements") == achievements
    assert await house.shown(LIMITS) == 7


async def test_a_cache_that_there_is_not_is_refused_with_the_field_named(house: House) -> None:
    status, problem = await house.post("/api/caches/unknown/invalidate")
    assert (status, problem["field"]) == (422, "namespace")


@pytest.mark.rule("maintenance-cache")
async def test_the_upkeep_removes_what_nobody_reads_any_more_and_nothing_else(
    house: House,
) -> None:
    for path in ("/api/plans", "/api/plans/pro", "/api/achievements"):
        await house.get(path)
    await house.post("/api/caches/plans/invalidate")
    await house.get("/api/plans")
    cache = JetStreamCache(house.client)
    read = {(name, await cache.generation(name), 1) for name in ("plans", "achievements")}

    assert (await house.post("/api/workflows/system", {"id": "upkeep"}))[0] == 202
    run = await house.until("/api/workflows/upkeep", lambda seen: seen["status"] == "complete")

    assert run["output"]["cacheInvalidation"]["removed"] == {"plans": 2, "achievements": 0}
    assert run["output"]["failures"] == []
    assert set(await cache.survey()) == read
