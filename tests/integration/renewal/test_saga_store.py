"""The walk through the saga again: each state and event on the tables of a real PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from services.billing.saga.state import Change, Effect, IllegalEvent
from shared.postgres.pool import create_pool
from shared.workflow.ports import Connection
from tests.conftest import MakeDatabase
from tests.integration.renewal.rows import Marks, Rows, stored, undone
from tests.saga_walk import Passage, Place, walk


@pytest.fixture
async def connection(make_database: MakeDatabase, host_zone: str) -> AsyncIterator[Connection]:
    """A transaction on an empty schema of billing, its session in the zone of the process."""
    pool = await create_pool(
        await make_database("billing"), size=1, name="billing", idle_timeout_seconds=60
    )
    async with pool.acquire() as acquired:
        await acquired.execute("SELECT set_config('timezone', $1, false)", host_zone)
        await acquired.execute("BEGIN")
        yield acquired
    pool.terminate()


async def test_the_tables_become_what_the_machine_says_of_each_state_and_event(
    connection: Connection, record_property: Callable[[str, object], None]
) -> None:
    changed = refused = 0
    for place, passages in representatives().items():
        legal = [(each, each.change) for each in passages if each.change is not None]
        async with undone(connection):
            rows = Rows(connection, place)
            await rows.write()
            assert await rows.read() == stored(place.saga)
            await refuse(rows, [each for each in passages if each.change is None])
            for passage, change in legal:
                async with undone(connection):
                    await obey(rows, passage, change)
        changed += len(legal)
        refused += len(passages) - len(legal)
    record_property("events that changed tables, and that were refused", (changed, refused))
    assert min(changed, refused) > 1000


def representatives() -> dict[Place, list[Passage]]:
    """One place of each state, with all that may happen there. That an end was asked for decides
    what is done next, not what an event does."""
    found: dict[str, Place] = {}
    passages: dict[Place, list[Passage]] = defaultdict(list)
    for passage in walk():
        place = passage.place
        if not place.saga.cancel_at_period_end and found.setdefault(place.name, place) is place:
            passages[place].append(passage)
    return passages


async def obey(rows: Rows, passage: Passage, change: Change) -> None:
    """The event is legal: the rows say the same as the machine, and what is due beside them."""
    await rows.happen(passage.event)
    assert await rows.read() == stored(change.saga), passage
    assert await rows.marks() == Marks(
        transactions=sum(effect.startswith("book_") for effect in change.effects),
        unbalanced=0,
        history=passage.place.saga.status is not change.saga.status,
        periods=Effect.EXTEND in change.effects,
    ), passage


async def refuse(rows: Rows, passages: Iterable[Passage]) -> None:
    """The events are illegal: each is refused, and every table stays as it was."""
    before = await rows.dump()
    for passage in passages:
        with pytest.raises(IllegalEvent):
            await rows.happen(passage.event)
    assert await rows.dump() == before
