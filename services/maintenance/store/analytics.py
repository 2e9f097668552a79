"""The facts that count, and their rollups."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from services.maintenance.rules.rollups import Counted
from shared.messages.maintenance import AnalyticsGrain
from shared.postgres.transaction import advisory_lock_id
from shared.workflow.ports import Connection

# Entry and recovery of one invoice at once: the later of the two must see the earlier.
LOCK_INVOICE = "SELECT pg_advisory_xact_lock($1)"

KEEP = """
    INSERT INTO analytics_facts
        (id, name, occurred_at, person_id, invoice_id, currency, measures, amounts)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO NOTHING RETURNING true
"""

# A recovery counts for the bucket in which its invoice entered dunning.
MARK = """
    INSERT INTO analytics_marks (hour)
    SELECT date_trunc('hour', occurred_at, 'UTC') FROM analytics_facts WHERE id = $1
    UNION
    SELECT date_trunc('hour', occurred_at, 'UTC') FROM analytics_facts
    WHERE invoice_id = $2 AND 'dunning_entered' = ANY (measures)
"""

# Whoever computes a bucket, one at a time over all replicas.
HOLD_ROLLUPS = "SELECT pg_try_advisory_xact_lock($1)"

# Only marks whose facts the statements after this one see; a later mark stays.
TAKE_MARKS = """
    WITH taken AS (
        DELETE FROM analytics_marks WHERE hour IN (
            SELECT DISTINCT hour FROM analytics_marks ORDER BY hour LIMIT $1)
        RETURNING hour
    )
    SELECT DISTINCT hour FROM taken ORDER BY hour
"""

CLEAR = {
    "hour": "DELETE FROM rollup_hours WHERE bucket_start = $1",
    "day": "DELETE FROM rollup_days WHERE bucket_start = $1",
}

COMPUTED = """
    (measure, bucket_start, currency, value)
    WITH bucket AS (
        SELECT * FROM analytics_facts WHERE occurred_at >= $1 AND occurred_at < $2
    )
    SELECT measure, $1, currency, sum(amount)
    FROM bucket CROSS JOIN unnest(measures, amounts) AS m (measure, amount)
    GROUP BY measure, currency
    UNION ALL
    SELECT 'active_players', $1, '', count(DISTINCT person_id)
    FROM bucket WHERE 'activity' = ANY (measures) HAVING count(*) > 0
    UNION ALL
    SELECT 'dunning_recovered', $1, currency, count(*)
    FROM bucket AS b WHERE 'dunning_entered' = ANY (measures) AND EXISTS (
        SELECT FROM analytics_facts AS r
        WHERE r.invoice_id = b.invoice_id AND 'dunning_recovery' = ANY (r.measures))
    GROUP BY currency
"""

COMPUTE = {
    "hour": f"INSERT INTO rollup_hours {COMPUTED}",
    "day": f"INSERT INTO rollup_days {COMPUTED}",
}

BEFORE = {
    "hour": """
        SELECT measure, currency, sum(value) AS value FROM rollup_hours
        WHERE measure = ANY ($1::text[]) AND bucket_start < $2 GROUP BY measure, currency
    """,
    "day": """
        SELECT measure, currency, sum(value) AS value FROM rollup_days
        WHERE measure = ANY ($1::text[]) AND bucket_start < $2 GROUP BY measure, currency
    """,
}

WITHIN = {
    "hour": """
        SELECT measure, currency, bucket_start, value FROM rollup_hours
        WHERE measure = ANY ($1::text[]) AND bucket_start >= $2 AND bucket_start < $3
    """,
    "day": """
        SELECT measure, currency, bucket_start, value FROM rollup_days
        WHERE measure = ANY ($1::text[]) AND bucket_start >= $2 AND bucket_start < $3
    """,
}

RECEIVED = """
    INSERT INTO analytics_watermark AS w (received_until) VALUES ($1)
    ON CONFLICT (only_row) DO UPDATE SET received_until = excluded.received_until
    WHERE w.received_until < excluded.received_until
"""

RECEIVED_UNTIL = "SELECT received_until FROM analytics_watermark"

CLOSED_UNTIL = """
    SELECT least(received_until,
                 (SELECT date_trunc('day', min(hour), 'UTC') FROM analytics_marks))
    FROM analytics_watermark
"""

FORGET = """
    DELETE FROM analytics_facts WHERE id IN (
        SELECT id FROM analytics_facts WHERE occurred_at < $1
        ORDER BY occurred_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING 1
"""

FORGET_PERSON = "UPDATE analytics_facts SET person_id = $2 WHERE person_id = $1 RETURNING 1"


class Rolled(NamedTuple):
    """One value of a rollup, or a sum of them."""

    measure: str
    currency: str
    value: int


async def closed_until(connection: Connection) -> datetime | None:
    """The instant before which all days are received and rolled up; None before the first.

    It goes back when a fact comes late, until that is rolled up too.
    """
    found: datetime | None = await connection.fetchval(CLOSED_UNTIL)
    return found


class AnalyticsStore:
    """One method a statement, in the caller's transaction."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def lock_invoice(self, invoice_id: UUID) -> None:
        """Until the transaction ends nobody else keeps a fact of the invoice."""
        key = advisory_lock_id("analytics", "invoice", str(invoice_id))
        await self._connection.execute(LOCK_INVOICE, key)

    async def keep(self, fact_id: str, name: str, occurred_at: datetime, fact: Counted) -> bool:
        """Keeps a fact; False where it is kept already."""
        kept = await self._connection.fetchval(
            KEEP,
            fact_id,
            name,
            occurred_at,
            fact.person_id,
            fact.invoice_id,
            fact.currency,
            list(fact.amounts),
            list(fact.amounts.values()),
        )
        return bool(kept)

    async def mark(self, fact_id: str, invoice_id: UUID | None) -> None:
        """Marks the buckets whose numbers the fact changes; an invoice's, where it recovered."""
        await self._connection.execute(MARK, fact_id, invoice_id)

    async def hold_rollups(self) -> bool:
        """Whether nobody else rolls up; nobody else will until the transaction ends."""
        key = advisory_lock_id("analytics", "rollups", "")
        return bool(await self._connection.fetchval(HOLD_ROLLUPS, key))

    async def take_marks(self, hours: int) -> list[datetime]:
        """The oldest marked hours, so many at most, marked no longer."""
        return [row["hour"] for row in await self._connection.fetch(TAKE_MARKS, hours)]

    async def clear(self, grain: AnalyticsGrain, start: datetime) -> None:
        """Takes a bucket's numbers away."""
        await self._connection.execute(CLEAR[grain], start)

    async def compute(self, grain: AnalyticsGrain, start: datetime, step: timedelta) -> None:
        """Makes a bucket's numbers from its facts."""
        await self._connection.execute(COMPUTE[grain], start, start + step)

    async def before(
        self, grain: AnalyticsGrain, measures: Collection[str], start: datetime
    ) -> list[Rolled]:
        """The sums of all buckets before the instant."""
        rows = await self._connection.fetch(BEFORE[grain], list(measures), start)
        return [Rolled(row["measure"], row["currency"], int(row["value"])) for row in rows]

    async def within(
        self, grain: AnalyticsGrain, measures: Collection[str], start: datetime, end: datetime
    ) -> list[tuple[datetime, Rolled]]:
        """The values of the buckets from `start` on, before `end`."""
        rows = await self._connection.fetch(WITHIN[grain], list(measures), start, end)
        return [
            (
                row["bucket_start"],
                Rolled(row["measure"], row["currency"], int(row["value"])),
            )
            for row in rows
        ]

    async def received(self, until: datetime) -> None:
        """Says that the facts of all days before the instant were received."""
        await self._connection.execute(RECEIVED, until)

    async def received_until(self) -> datetime | None:
        """What was said of them."""
        found: datetime | None = await self._connection.fetchval(RECEIVED_UNTIL)
        return found

    async def closed_until(self) -> datetime | None:
        """See the function."""
        return await closed_until(self._connection)

    async def forget(self, occurred_before: datetime, limit: int) -> int:
        """Deletes facts from before the instant, the oldest first; how many it was."""
        return len(await self._connection.fetch(FORGET, occurred_before, limit))

    async def forget_person(self, person_id: UUID, replacement: UUID) -> int:
        """Puts a random id in the place of a player's or customer's; in how many facts.

        What was counted stays: a person is one still, and nobody can tell who.
        """
        return len(await self._connection.fetch(FORGET_PERSON, person_id, replacement))
