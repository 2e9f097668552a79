"""What is broken by hand is found, named, and told once; by real services on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from nats.aio.client import Client

from services.billing.app import define as define_billing
from services.billing.config import BillingSettings
from services.maintenance.app import define as define_maintenance
from services.maintenance.config import MaintenanceSettings
from services.maintenance.owners import Owners
from services.maintenance.rules.invariants import ANSWERS, STATUS
from services.maintenance.store.invariants import ResultStore
from services.maintenance.watch import InvariantWatch
from services.player.app import service as player_service
from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.requests import Requests, Unavailable
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import Message
from shared.messages.billing import CreateCustomer
from shared.messages.maintenance import (
    CheckInvariants,
    InvariantResults,
    InvariantResultsQuery,
    ServiceInvariants,
)
from shared.messages.notices import Notices, NoticesQuery
from shared.messages.player import CreatePlayer, Opening
from shared.messages.workflows import StartPlayer
from shared.postgres.pool import create_pool
from shared.runtime.config import load
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.service import Service
from shared.testing.clocks import ManualClock
from shared.workflow.records import InstanceKey

MakeDatabase = Callable[[str], Awaitable[str]]

BOUND_SECONDS = 30.0
PLAYER = UUID("7b0e6f0a-51d5-4c6e-8d3b-2f6f6a1c9e10")


@dataclass
class House:
    """Player and billing at work, and two replicas' watches that look when a test says so."""

    client: Client
    databases: dict[str, asyncpg.Pool[asyncpg.Record]]
    watches: Sequence[InvariantWatch]
    stops: dict[str, AsyncExitStack]

    async def stop(self, service: str) -> None:
        """Ends a service."""
        await self.stops[service].aclose()

    async def look(self) -> None:
        """Both replicas look at once, and take each turn once."""
        async with self.databases["maintenance"].acquire() as connection:
            await ResultStore(connection).hurry()
        turns = await asyncio.gather(*(watch.look() for watch in self.watches))
        assert sum(turns) == 2

    async def results(self) -> dict[str, ServiceInvariants]:
        async with self.databases["maintenance"].acquire() as connection:
            return {each.service: each for each in await ResultStore(connection).results()}

    async def notices(self) -> list[tuple[str, Any, Any]]:
        """What operators are told, in order: name, invariant and subject."""
        rows = await self.databases["maintenance"].fetch(
            "SELECT name, data->>'invariant', data->>'subject' FROM notices ORDER BY id"
        )
        return [tuple(row) for row in rows]

    async def ask(self, subject: str, message: Message) -> bytes:
        return await Requests(self.client).send(subject, msgspec.json.encode(message))


@asynccontextmanager
async def running(definition: ServiceDefinition, settings: ServiceSettings) -> AsyncGenerator[None]:
    """The service, from when it answers."""
    service = Service(definition, settings)
    task = asyncio.create_task(service.run())
    client = await connect(settings.nats_url.reveal(), "waiting")
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            try:
                await Requests(client).send(subjects.query(definition.name, "schedules"), b"{}")
            except Unavailable:
                continue
            break
    await close(client)
    yield
    service.stop()
    assert await task is None


@pytest.fixture
async def house(make_database: MakeDatabase, nats_url: str) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "maintenance")
        stack.push_async_callback(close, client)
        databases: dict[str, asyncpg.Pool[asyncpg.Record]] = {}
        stops = {name: AsyncExitStack() for name in ("player", "billing", "maintenance")}
        environment = {"NATS_URL": nats_url, "HTTP_PORT": "0", "PAYMENT_PROVIDER": "sandbox"}
        environment |= {"SANDBOX_WEBHOOK_SECRET": "whsec_of_the_tests"}
        for name, service in stops.items():
            url = await make_database(name)
            databases[name] = await create_pool(url, size=4, name="test", idle_timeout_seconds=30)
            stack.callback(databases[name].terminate)
            environment["DATABASE_URL"] = url
            await stack.enter_async_context(service)
            if name == "player":
                await service.enter_async_context(
                    running(player_service(), load(ServiceSettings, environment))
                )
            elif name == "billing":
                settings = load(BillingSettings, environment)
                await service.enter_async_context(running(define_billing(settings), settings))
        owners = Owners()
        owners.give(Requests(client))
        watches = [
            InvariantWatch(
                databases["maintenance"],
                ManualClock(),
                owners,
                ["player", "billing"],
                interval_seconds=3600,
                patience_seconds=0,
            )
            for _ in range(2)
        ]
        yield House(client, databases, watches, stops)


async def somebody(house: House) -> None:
    """A player, and a customer."""
    opening = Opening(xp=10, coins=5)
    await house.ask("commands.billing.create_customer", CreateCustomer(currency="EUR"))
    await house.ask("commands.player.create_player", CreatePlayer(id=PLAYER, opening=opening))


BREAKING = {
    "player": (
        "player",
        "UPDATE player_progress SET xp = xp + 1",
        "UPDATE player_progress SET xp = xp - 1",
        "balances_are_the_sums_of_grants",
        str(PLAYER),
    ),
    "billing": (
        "billing",
        """
        INSERT INTO ledger_entries
            (transaction_key, account, currency, amount_minor, customer_id, created_at)
        SELECT 't/1', 'revenue', 'EUR', 5, id, now() FROM customers
        """,
        "DELETE FROM ledger_entries",
        "ledger_transactions_sum_to_zero",
        "t/1",
    ),
    "engine": (
        "player",
        """
        INSERT INTO workflow_instances
            (kind, id, status, input, version, created_at, updated_at, started_at)
        VALUES ('player', 'forgotten', 'running', '{}', 1, now(), now(), now())
        ON CONFLICT (kind, id) DO UPDATE SET finished_at = NULL, status = 'running', version = 3
        """,
        """
        UPDATE workflow_instances SET status = 'terminated', finished_at = now(), version = 2
        """,
        "an_unfinished_instance_is_looked_after",
        "player.forgotten",
    ),
}


@pytest.mark.rule("maintenance-invariants")
@pytest.mark.parametrize("broken", BREAKING)
async def test_what_is_broken_by_hand_is_found_told_once_and_once_when_it_is_restored(
    house: House, broken: str
) -> None:
    service, breaks, mends, invariant, subject = BREAKING[broken]
    await somebody(house)
    await house.look()
    assert await house.notices() == []

    await house.databases[service].execute(breaks)
    for _ in range(2):
        await house.look()
    assert await house.notices() == [("invariant_broken", invariant, subject)]
    result = (await house.results())[service]
    assert [(each.invariant, each.subject) for each in result.broken] == [(invariant, subject)]
    assert result.counts == {invariant: 1}

    await house.databases[service].execute(mends)
    for _ in range(2):
        await house.look()
    assert (await house.notices())[1:] == [("invariant_restored", invariant, subject)]
    assert (await house.results())[service].broken == ()

    # Broken anew it is told anew, though business time stood still.
    await house.databases[service].execute(breaks)
    await house.look()
    assert (await house.notices())[2:] == [("invariant_broken", invariant, subject)]


@pytest.mark.rule("maintenance-invariants")
async def test_a_service_that_does_not_answer_is_named_and_nothing_of_it_counts_as_restored(
    house: House,
) -> None:
    await somebody(house)
    await house.databases["player"].execute("UPDATE player_progress SET coins = 0")
    await house.look()
    await house.stop("player")

    for _ in range(2):
        await house.look()

    assert (await house.notices())[1:] == [("invariant_broken", ANSWERS, "player")]
    assert [each.invariant for each in (await house.results())["player"].broken] == [
        ANSWERS,
        "balances_are_the_sums_of_grants",
    ]


@pytest.mark.rule("maintenance-invariants")
async def test_a_falsified_status_is_told_and_mended_and_a_missing_one_is_mended(
    house: House,
) -> None:
    await somebody(house)
    statuses = JetStreamStatusBucket(house.client)
    js = jetstream(house.client)
    for name in ("falsified", "missing"):
        start = StartPlayer(id=name, player_id=PLAYER)
        await js.publish(subjects.start("player"), msgspec.json.encode(start))
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                stored = await statuses.get(InstanceKey("player", name))
                if stored is not None and stored.document.status.ended:
                    break
    key = InstanceKey("player", "falsified")
    right = await statuses.get(key)
    assert right is not None
    wrong = msgspec.structs.replace(right.document, version=10**6)
    await js.publish(subjects.status_subject("player.falsified"), msgspec.json.encode(wrong))
    await statuses.delete(InstanceKey("player", "missing"), (10**6, 10**6))

    await house.look()

    assert await house.notices() == [("invariant_broken", STATUS, "player.falsified")]
    compared = (await house.results())["player"].statuses
    assert (compared.differed, compared.mended) == (2, 2)
    mended = await statuses.get(key)
    assert mended is not None
    assert mended.document == right.document
    assert await statuses.get(InstanceKey("player", "missing")) is not None
    await house.look()
    assert (await house.notices())[1:] == [("invariant_restored", STATUS, "player.falsified")]


@pytest.mark.rule("maintenance-invariants")
async def test_it_is_asked_for_and_read_of_the_service_itself(
    house: House, make_database: MakeDatabase, nats_url: str
) -> None:
    await somebody(house)
    environment = {
        "NATS_URL": nats_url,
        "HTTP_PORT": "0",
        "DATABASE_URL": await make_database("maintenance"),
    }
    settings = load(MaintenanceSettings, environment)
    requests = Requests(house.client)
    async with running(define_maintenance(settings), settings):
        checked = await until_checked(requests)
        await house.databases["player"].execute("UPDATE player_progress SET coins = 0")
        await requests.request(
            "commands.maintenance.check_invariants", CheckInvariants(), InvariantResults
        )
        again = await until_checked(requests, checked)
        notices = await requests.request(
            subjects.query("maintenance", "notices"), NoticesQuery(), Notices
        )
    [player] = [each for each in again.services if each.service == "player"]
    assert [each.subject for each in player.broken] == [str(PLAYER)]
    assert [each.name for each in notices.notices] == ["invariant_broken"]


async def until_checked(
    requests: Requests, before: InvariantResults | None = None
) -> InvariantResults:
    """The results once each service has been asked, or asked again. Bounded."""
    earlier = {each.service: each.checked_at for each in before.services} if before else {}
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            found = await requests.request(
                subjects.query("maintenance", "invariant_results"),
                InvariantResultsQuery(),
                InvariantResults,
            )
            at = {each.service: each.checked_at for each in found.services}
            if len(at) == 3 and all(
                at[name] is not None and at[name] != earlier.get(name) for name in at
            ):
                return found
