"""Facts become numbers: each once, in any order, whoever is killed on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.maintenance.handlers.analytics import MAX_BUCKETS, analytics, count
from services.maintenance.rollups import Rollups
from services.maintenance.store.analytics import AnalyticsStore, closed_until
from shared.messages.billing import InvoicePaid, PaymentFailed, PaymentSucceeded, RefundIssued
from shared.messages.events import Event
from shared.messages.maintenance import AnalyticsMetric, AnalyticsQuery
from shared.messages.player import PlayerLoggedIn
from shared.messages.problems import Refused
from shared.postgres.pool import create_pool
from shared.runtime.handling import Heard, Work
from shared.testing.clocks import ManualClock
from shared.workflow.errors import Transient

DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE_DAY = timedelta(days=1)


class Books:
    """Maintenance's tables, and facts that are heard one by one."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self.pool = pool
        self.clock = ManualClock()
        self.clock.set(DAY + 12 * HOUR)
        self.caught_up = True
        self.rollups = self.replica()

    def replica(self) -> Rollups:
        async def caught_up() -> bool:
            return self.caught_up

        return Rollups(self.pool, self.clock, caught_up, interval_seconds=60)

    async def hear(self, event: Event, at: datetime, fact_id: str | None = None) -> str:
        fact_id = fact_id or str(uuid4())
        async with self.pool.acquire() as connection, connection.transaction():
            work = Work(connection, self.clock.now(), "nats", fact_id)
            await count(work, Heard(fact_id, "some", at, event))
        return fact_id

    async def values(
        self, metric: AnalyticsMetric, days: int = 3, **more: Any
    ) -> dict[str | None, list[int | float | None]]:
        query = AnalyticsQuery(metric=metric, from_=DAY, to=DAY + days * ONE_DAY, **more)
        async with self.pool.acquire() as connection:
            report = await analytics(Work(connection, self.clock.now(), "t", "t"), query)
        return {each.currency: [one.value for one in each.buckets] for each in report.series}

    async def rolled(self) -> dict[tuple[Any, ...], str]:
        """Every number with the version of its row, which a replacement changes."""
        rows = await self.pool.fetch(
            "SELECT 'hour' AS grain, xmin::text AS version, * FROM rollup_hours"
            " UNION ALL SELECT 'day', xmin::text, * FROM rollup_days"
        )
        return {
            (row["grain"], row["bucket_start"], row["measure"], row["value"]): row["version"]
            for row in rows
        }

    async def closed(self) -> datetime | None:
        async with self.pool.acquire() as connection:
            return await closed_until(connection)


@pytest.fixture
async def books(make_database: Callable[[str], Awaitable[str]]) -> AsyncIterator[Books]:
    pool = await create_pool(
        await make_database("maintenance"), size=6, name="books", idle_timeout_seconds=30
    )
    yield Books(pool)
    pool.terminate()


def login(player: UUID) -> PlayerLoggedIn:
    return PlayerLoggedIn(player_id=player)


def invoice(invoice_id: UUID, currency: str = "EUR") -> dict[str, Any]:
    return {
        "invoice_id": invoice_id,
        "subscription_id": uuid4(),
        "customer_id": uuid4(),
        "plan_id": "plus",
        "period_start": DAY,
        "period_end": DAY,
        "amount_minor": 999,
        "currency": currency,
    }


def paid(invoice_id: UUID, currency: str = "EUR") -> PaymentSucceeded:
    of = invoice(invoice_id, currency)
    return PaymentSucceeded(**of, number=1, initiator="cycle", provider="sandbox")


def failed(invoice_id: UUID) -> PaymentFailed:
    return PaymentFailed(
        **invoice(invoice_id),
        number=1,
        initiator="cycle",
        provider="sandbox",
        decline_code=None,
        decline_class="soft",
        failures=1,
    )


@pytest.mark.rule("maintenance-analytics")
async def test_told_twice_and_rolled_up_twice_it_is_the_same_number(books: Books) -> None:
    one, two = uuid4(), uuid4()
    for player, hours in ((one, 1), (one, 1.5), (one, 9), (two, 9)):
        fact_id = await books.hear(login(player), DAY + hours * HOUR)
        await books.hear(login(player), DAY + hours * HOUR, fact_id)
    done = await books.rollups.tick()
    assert done.buckets == 3
    assert await books.values("active_players") == {None: [2, 0, 0]}
    hourly = await books.values("active_players", 1, grain="hour")
    assert hourly == {None: [0, 1, *[0] * 7, 2, *[0] * 14]}
    before = await books.rolled()
    assert (await books.rollups.tick()).buckets == 0
    await books.pool.execute(
        "INSERT INTO analytics_marks (hour) SELECT date_trunc('hour', occurred_at, 'UTC')"
        " FROM analytics_facts"
    )
    assert (await books.rollups.tick()).buckets == 3
    assert (await books.rolled()).keys() == before.keys()


@pytest.mark.rule("maintenance-analytics")
async def test_a_late_fact_changes_only_its_buckets(books: Books) -> None:
    for hours in (1, 2, 25, 49):
        await books.hear(paid(uuid4()), DAY + hours * HOUR)
    await books.rollups.tick()
    before = await books.rolled()
    await books.hear(paid(uuid4()), DAY + 26 * HOUR)
    refund = invoice(uuid4(), "JPY")
    await books.hear(
        RefundIssued(**refund, number=1, initiator="cycle", provider="s", reason="requested"),
        DAY + 26 * HOUR,
    )
    await books.rollups.tick()
    changed = (await books.rolled()).items() - before.items()
    touched = {key[:2] for key, _ in changed}
    assert touched == {("hour", DAY + 26 * HOUR), ("day", DAY + ONE_DAY)}
    assert await books.values("revenue") == {"EUR": [1998, 1998, 999], "JPY": [0, -999, 0]}
    assert await books.values("revenue", currency="CHF") == {"CHF": [0, 0, 0]}


@pytest.mark.parametrize("recovered_first", [False, True])
async def test_a_recovery_counts_for_the_day_on_which_dunning_began(
    books: Books, recovered_first: bool
) -> None:
    recovered, lost = uuid4(), uuid4()
    entry = (failed(recovered), DAY + HOUR)
    recovery = (
        InvoicePaid(**invoice(recovered), failures=2, initiator="dunning"),
        DAY + 2 * ONE_DAY,
    )
    await books.hear(failed(lost), DAY + 5 * HOUR)
    for event, at in (recovery, entry) if recovered_first else (entry, recovery):
        await books.hear(event, at)
        await books.rollups.tick()
    assert await books.values("recovery_rate") == {None: [0.5, None, None]}


async def test_what_is_cut_off_between_fact_and_rollup_is_made_up_for(books: Books) -> None:
    await books.hear(login(uuid4()), DAY)
    async with books.pool.acquire() as connection:
        cut_off = connection.transaction()
        await cut_off.start()
        assert await AnalyticsStore(connection).take_marks(24) == [DAY]
        await cut_off.rollback()
    assert (await books.replica().tick()).buckets == 2
    assert await books.values("active_players") == {None: [1, 0, 0]}


async def test_one_replica_at_a_time_rolls_up(books: Books) -> None:
    await books.hear(login(uuid4()), DAY)
    async with books.pool.acquire() as connection, connection.transaction():
        store = AnalyticsStore(connection)
        assert await store.hold_rollups()
        # A fact that comes meanwhile waits for nobody.
        await books.hear(login(uuid4()), DAY)
        assert (await books.replica().tick()).buckets == 0
    assert (await books.replica().tick()).buckets == 2
    assert await books.values("active_players") == {None: [2, 0, 0]}


@pytest.mark.rule("maintenance-order")
async def test_a_day_is_closed_once_its_facts_are_received_and_rolled_up(books: Books) -> None:
    assert await books.closed() is None
    books.caught_up = False
    assert (await books.rollups.tick()).closed_until is None
    books.caught_up = True
    assert (await books.rollups.tick()).closed_until == DAY
    books.caught_up = False
    books.clock.advance(ONE_DAY)
    assert (await books.rollups.tick()).closed_until == DAY
    books.caught_up = True
    assert (await books.rollups.tick()).closed_until == DAY + ONE_DAY
    # A late fact opens its day until it is rolled up.
    await books.hear(login(uuid4()), DAY - ONE_DAY - HOUR)
    assert await books.closed() == DAY - 2 * ONE_DAY
    assert (await books.rollups.tick()).closed_until == DAY + ONE_DAY


async def test_while_nobody_knows_whether_all_was_received_nothing_is_closed(
    books: Books,
) -> None:
    async def away() -> bool:
        raise Transient("NATS is away")

    with pytest.raises(Transient):
        await Rollups(books.pool, books.clock, away, interval_seconds=60).tick()
    assert await books.closed() is None


async def test_facts_are_given_up_after_400_days_and_their_numbers_stay(books: Books) -> None:
    await books.hear(login(uuid4()), DAY)
    await books.rollups.tick()
    books.caught_up = False
    books.clock.advance(timedelta(days=500))
    await books.rollups.tick()
    # The day was never closed.
    assert await books.pool.fetchval("SELECT count(*) FROM analytics_facts") == 1
    books.caught_up = True
    await books.rollups.tick()
    assert await books.pool.fetchval("SELECT count(*) FROM analytics_facts") == 0
    # One that comes now would take the day's numbers for its own.
    await books.hear(login(uuid4()), DAY)
    assert (await books.rollups.tick()).buckets == 0
    assert await books.values("active_players") == {None: [1, 0, 0]}


async def test_a_forgotten_person_is_one_still_under_an_id_of_nobody(books: Books) -> None:
    player, nobody = uuid4(), uuid4()
    for hours in (1, 2):
        fact_id = await books.hear(login(player), DAY + hours * HOUR)
    async with books.pool.acquire() as connection:
        assert await AnalyticsStore(connection).forget_person(player, nobody) == 2
    await books.hear(login(player), DAY + 2 * HOUR, fact_id)
    await books.rollups.tick()
    assert await books.values("active_players") == {None: [1, 0, 0]}
    people = await books.pool.fetch("SELECT DISTINCT person_id FROM analytics_facts")
    assert [row["person_id"] for row in people] == [nobody]


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"to": DAY}, "to", "later than `from`"),
        ({"to": DAY + 1001 * HOUR, "grain": "hour"}, "to", f"{MAX_BUCKETS} are allowed"),
        ({"to": DAY + HOUR, "currency": "EUR"}, "currency", "leave it out"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_with_the_field_named(
    books: Books, wrong: dict[str, Any], field: str, words: str
) -> None:
    query = AnalyticsQuery(metric="rewards", from_=DAY, **wrong)
    async with books.pool.acquire() as connection:
        with pytest.raises(Refused, match=words) as refused:
            await analytics(Work(connection, books.clock.now(), "t", "t"), query)
    assert refused.value.field == field
