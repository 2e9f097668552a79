"""Who tells, and that nothing is told twice or lost when a leader or the database goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

import services
from services.maintenance.health.lead import PATIENCE_ROUNDS
from services.maintenance.health.telling import Teller, Telling, telling
from services.maintenance.rules.health import Told
from shared.messages.maintenance import ComponentHealth
from shared.notify.channel import NotSent
from shared.notify.notifier import Notifier
from shared.postgres.letters import LetterStore
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.runtime.courier import Courier
from shared.runtime.embedded.postgres import EmbeddedPostgres
from shared.testing.channel import MemoryChannel
from shared.testing.servers import Databases

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def alert(incident: int = 1, *, recovered: bool = False) -> Telling:
    found = ComponentHealth(
        component="gateway", status="fail", seconds=0.1, checked_at=NOW, since=NOW
    )
    return telling(found, Told(incident, recovered, NOW), NOW)


class House:
    """A database, the operators' webhook, and replicas' tellers."""

    def __init__(self, url: str):
        self.url = url
        self.channel = MemoryChannel("webhook")
        self.notifier = Notifier("maintenance", [self.channel], {"*": ["webhook"]}, self._nowhere)

    async def _nowhere(self, _recipient: str) -> None:
        return None

    @asynccontextmanager
    async def pool(self) -> AsyncGenerator[Pool]:
        pool = await create_pool(self.url, size=4, name="test", idle_timeout_seconds=30)
        try:
            yield pool
        finally:
            pool.terminate()

    async def leader(self, pool: Pool) -> Teller:
        """A teller that leads."""
        teller = Teller(pool, self.notifier)
        for _ in range(PATIENCE_ROUNDS):
            assert not await teller.prepare()
        assert await teller.prepare()
        return teller

    async def carry(self, pool: Pool) -> None:
        """Sends what a courier finds to send."""
        courier = Courier(LetterStore(pool), self.notifier)
        await courier.route()
        await courier.send(self.channel)

    def sent(self) -> list[tuple[str, str]]:
        return [(letter.notice.name, letter.notice.key) for letter in self.channel.sent]


FIRST_ALERT = ("component_failed", "gateway/1")


@pytest.fixture
async def house(own_postgres: EmbeddedPostgres) -> House:
    sql = Path(services.__path__[0]) / "maintenance" / "sql"
    databases = Databases(own_postgres.url)
    return House(await databases.create("maintenance", {"engine": ENGINE_SQL, "maintenance": sql}))


async def test_the_next_leader_tells_what_a_killed_one_did_not(house: House) -> None:
    async with house.pool() as other:
        heir = Teller(other, house.notifier)
        async with house.pool() as pool:
            await house.leader(pool)
            for _ in range(PATIENCE_ROUNDS + 1):
                assert not await heir.prepare()
        # Killed between judging and telling: its session is gone.
        while not await heir.prepare():
            pass
        await heir.tell([alert()])
        await house.carry(other)
    assert house.sent() == [FIRST_ALERT]


async def test_two_that_take_themselves_for_leaders_tell_once(house: House) -> None:
    async with house.pool() as one, house.pool() as two:
        await (await house.leader(one)).tell([alert()])
        late = Teller(two, house.notifier)
        await late.prepare()
        await late.tell([alert()])
        await house.carry(two)
    assert house.sent() == [FIRST_ALERT]


async def test_what_was_told_without_a_database_becomes_a_row_and_is_not_sent_again(
    house: House, own_postgres: EmbeddedPostgres
) -> None:
    async with house.pool() as pool, house.pool() as other:
        teller = await house.leader(pool)
        await own_postgres.stop()
        assert await teller.prepare()
        await teller.tell([alert()])
        assert house.sent() == [FIRST_ALERT]
        assert await teller.prepare()
        await teller.tell([])
        assert house.sent() == [FIRST_ALERT]
        await own_postgres.start()
        # Another one takes the lock first, and still waits for what the last leader has to say.
        heir = Teller(other, house.notifier)
        assert not await heir.prepare()
        assert not await teller.prepare()
        assert not await heir.prepare()
        assert await heir.prepare()
        assert heir.told("gateway") == Told(1, False, NOW)
        await house.carry(other)
        letters = await other.fetch("SELECT state, attempts FROM notice_letters")
    assert house.sent() == [FIRST_ALERT]
    assert [tuple(row) for row in letters] == [("sent", 1)]


async def test_what_did_not_get_through_is_sent_with_the_next_look_or_by_the_courier(
    house: House, own_postgres: EmbeddedPostgres
) -> None:
    async with house.pool() as pool:
        teller = await house.leader(pool)
        await own_postgres.stop()
        await teller.prepare()
        house.channel.failure = NotSent("away")
        await teller.tell([alert()])
        house.channel.failure = None
        await teller.prepare()
        await teller.tell([])
        assert house.sent() == [FIRST_ALERT]
        house.channel.failure = NotSent("away")
        await teller.prepare()
        await teller.tell([alert(recovered=True)])
        house.channel.failure = None
        await own_postgres.start()
        await teller.prepare()
        await house.carry(pool)
        await house.carry(pool)
    assert house.sent() == [FIRST_ALERT, ("component_recovered", "gateway/1")]
