"""What can never be carried out leaves the queue after many tries and is kept to be seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.jetstream.connection import MessageTooLarge
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.workflows import Wake
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.runtime.handling import Handler, Work
from shared.runtime.outbox import Outbox
from shared.runtime.relay import Relay
from shared.runtime.requests import Dispatcher
from shared.runtime.timekeeper import Timekeeper
from shared.testing.clocks import ManualClock
from shared.testing.memory_delivery import MemoryDelivery, MemoryPublisher
from shared.testing.rig import Rig
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.records import ClaimRequest, InstanceKey, OutboxMessage
from shared.workflow.registry import register
from tests.integration.engine.conftest import MakePlace

LAST = 10


@pytest.fixture
async def store(nats_url: str, make_place: MakePlace) -> AsyncIterator[PostgresStore]:
    place = await make_place(nats_url)
    async with AsyncExitStack() as stack:
        pools = [
            await create_pool(place.database_url, size=4, name="test", idle_timeout_seconds=30)
            for _ in range(2)
        ]
        for pool in pools:
            stack.callback(pool.terminate)
        yield PostgresStore("sample", *pools)


@pytest.fixture
def rig(store: PostgresStore) -> Rig:
    return Rig([register(StartSample, SampleWorkflow())], store=store)


async def letters(store: PostgresStore) -> list[tuple[str, str]]:
    async with store.transaction() as transaction:
        found = await transaction.connection.fetch("SELECT reason, subject FROM dead_letters")
    return [(row["reason"], row["subject"]) for row in found]


@pytest.mark.rule("engine-23", "engine-27")
@pytest.mark.parametrize(
    "headers",
    [{subjects.CREATED_AT: "0001-01-01T00:00:00+23:00"}, {subjects.ACTOR: "no\x00body"}],
)
async def test_a_start_that_can_never_be_claimed_goes_to_the_dead_letters(
    rig: Rig, store: PostgresStore, headers: dict[str, str]
) -> None:
    body = encode(StartSample(id="one"))
    subject = subjects.start("sample")
    before = MemoryDelivery(subject, body, headers, attempt=LAST - 1)
    assert await rig.executor.deliver(before) == "dropped"
    assert await letters(store) == []
    last = MemoryDelivery(subject, body, headers, attempt=LAST)
    assert await rig.executor.deliver(last) == "poisoned"
    assert await letters(store) == [("poisoned", subject)]


@pytest.mark.rule("engine-1", "engine-4")
async def test_a_wake_that_keeps_meeting_the_owner_at_work_leaves_it_to_due_at(
    rig: Rig, store: PostgresStore
) -> None:
    await rig.start(StartSample(id="one", sleep_seconds=60))
    rig.clock.advance(timedelta(minutes=2))
    body = encode(Wake(id="one"))
    async with store.transaction() as owner:
        key = InstanceKey("sample", "one")
        await owner.claim(ClaimRequest(key=key, now=rig.clock.now(), redelivered=False))
        deliveries = [
            MemoryDelivery(subjects.wake("sample"), body, attempt=attempt) for attempt in (1, LAST)
        ]
        for delivery in deliveries:
            assert await rig.executor.deliver(delivery) == "busy"
    assert [delivery.settled for delivery in deliveries] == ["nak", "ack"]
    assert await store.take_due(rig.clock.now(), 10) == [key]


@pytest.mark.rule("engine-1")
async def test_nothing_due_is_taken_while_nobody_could_be_told(
    rig: Rig, store: PostgresStore
) -> None:
    await rig.start(StartSample(id="one", sleep_seconds=60))
    rig.clock.advance(timedelta(minutes=2))
    reachable = False
    publisher = MemoryPublisher()
    timekeeper = Timekeeper(
        store, publisher, rig.clock, interval_seconds=1, reachable=lambda: reachable
    )
    assert await timekeeper.tick() == 0
    reachable = True
    assert await timekeeper.tick() == 1


class Strict(MemoryPublisher):
    """A server with a limit of ten bytes."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        for message in messages:
            if len(message.body) > 10:
                raise MessageTooLarge(f"{message.id} has {len(message.body)} bytes")
        await super().publish(messages)


@pytest.mark.rule("engine-26", "engine-27")
async def test_a_message_that_can_never_be_sent_keeps_no_other_from_being_relayed(
    store: PostgresStore,
) -> None:
    async with store.transaction() as transaction:
        for name, body in (("first", b"small"), ("second", b"x" * 11), ("third", b"small")):
            await transaction.connection.execute(
                "INSERT INTO outbox (message_id, source, subject, headers, body) "
                "VALUES ($1, 'test', 'events.sample.told', '{}', $2)",
                name,
                body,
            )
        await transaction.commit()
    publisher = Strict()
    relay = Relay(store, publisher, ManualClock(), older_than_seconds=0)
    assert await relay.scan() == 3
    assert list(publisher.stored) == ["first", "third"]
    assert await letters(store) == [("too_large", "events.sample.told")]
    assert await store.unsent_count() == 0


class Told(Message, frozen=True, kw_only=True):
    number: int


@pytest.mark.rule("engine-27")
@pytest.mark.parametrize("statement", ["SELECT 1 / ($1::int - 1)", "SELECT $1::int + 2147483647"])
async def test_a_fact_that_its_handler_can_never_take_goes_to_the_dead_letters(
    store: PostgresStore, nats_url: str, make_place: MakePlace, statement: str
) -> None:
    async def take(work: Work, told: Told) -> None:
        await work.connection.execute(statement, told.number)

    place = await make_place(nats_url)
    pool = await create_pool(place.database_url, size=1, name="test", idle_timeout_seconds=30)
    dispatcher = Dispatcher(
        "sample",
        outbox=Outbox(pool, store, MemoryPublisher()),
        store=store,
        clock=ManualClock(),
        new_id=uuid4,
        facts={"told": Handler("told", Told, take)},
    )
    subject = subjects.ingest("sample", "told")
    body = encode(Told(number=1))
    assert await dispatcher.take(MemoryDelivery(subject, body, attempt=LAST - 1)) == "dropped"
    assert await letters(store) == []
    assert await dispatcher.take(MemoryDelivery(subject, body, attempt=LAST)) == "poisoned"
    assert await letters(store) == [("poisoned", subject)]
    pool.terminate()
