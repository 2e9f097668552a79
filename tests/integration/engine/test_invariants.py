"""Each invariant of the engine is told when it is broken, and only then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shared.postgres.invariants import ENGINE, MOST, InvariantStore
from shared.testing.samples import StartSample
from tests.integration.engine.conftest import MakePlace, Place, StartService

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BREAKING = {
    "an_unfinished_instance_is_looked_after": """
        UPDATE workflow_instances SET due_at = NULL, due_clock = NULL, status = 'running'
    """,
    "what_is_due_is_taken": """
        UPDATE workflow_instances
        SET due_clock = 'machine', due_at = clock_timestamp() - interval '11 minutes'
    """,
    "what_was_committed_is_published": """
        INSERT INTO outbox (message_id, source, subject, headers, body, created_at)
        VALUES ('1', 'test', 'events.sample.told', '{}', '{}', now() - interval '11 minutes')
    """,
}


async def counts(place: Place, now: datetime = NOON) -> dict[str, int]:
    connection = await asyncpg.connect(place.database_url)
    try:
        return (await InvariantStore(connection, ENGINE).broken(now)).counts
    finally:
        await connection.close()


async def asleep(place: Place, start_service: StartService) -> None:
    """An instance that sleeps, and one that has ended; the service is gone."""
    replica = await start_service(place)
    await place.publish([StartSample(id="asleep", sleep_seconds=10**6), StartSample(id="ended")])
    await place.until_settled()
    await replica.stop()


@pytest.mark.rule("engine-1", "maintenance-invariants")
@pytest.mark.parametrize("invariant", ENGINE)
async def test_what_breaks_an_invariant_is_told(
    nats_url: str, make_place: MakePlace, start_service: StartService, invariant: str
) -> None:
    place = await make_place(nats_url)
    await asleep(place, start_service)
    assert await counts(place) == {}
    await place.fetch(BREAKING[invariant])
    assert invariant in await counts(place)


@pytest.mark.rule("engine-1", "maintenance-invariants")
async def test_what_is_due_may_be_late_for_ten_minutes(
    nats_url: str, make_place: MakePlace, start_service: StartService
) -> None:
    place = await make_place(nats_url)
    await asleep(place, start_service)
    due_at = await place.fetchval("SELECT due_at FROM workflow_instances WHERE id = 'asleep'")
    assert await counts(place, due_at + timedelta(minutes=10)) == {}
    assert await counts(place, due_at + timedelta(minutes=10, seconds=1)) == {
        "what_is_due_is_taken": 1
    }


@pytest.mark.rule("maintenance-invariants")
async def test_a_hundred_are_named_and_all_are_counted(
    nats_url: str, make_place: MakePlace
) -> None:
    place = await make_place(nats_url)
    connection = await asyncpg.connect(place.database_url)
    await connection.execute("""
        INSERT INTO workflow_instances
            (kind, id, status, input, created_at, updated_at, started_at)
        SELECT 'sample', n::text, 'running', '{}', now(), now(), now()
        FROM generate_series(1, 250) AS n
    """)
    found = await InvariantStore(connection, ENGINE).broken(NOON)
    await connection.close()
    assert len(found.violations) == MOST
    assert found.counts == {"an_unfinished_instance_is_looked_after": 250}
