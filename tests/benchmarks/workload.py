"""Five updates of rows that nobody else touches: as a workflow of five steps, and plainly."""

from __future__ import annotations

import asyncpg

from shared.messages.workflows import Trigger
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Connection
from shared.workflow.step import Step

UPDATES = 5

CREATE_COUNTERS = """
CREATE TABLE counters (row integer PRIMARY KEY, value bigint NOT NULL DEFAULT 0)
    WITH (fillfactor = 50)
"""
FILL_COUNTERS = "INSERT INTO counters (row) SELECT generate_series(0, $1 - 1)"
COUNT_UP = "UPDATE counters SET value = value + 1 WHERE row = $1 RETURNING value"
COUNTED = "SELECT sum(value) FROM counters"
COMPLETE = """
SELECT count(*) FROM workflow_instances AS i WHERE status = 'complete' AND $1 = (
    SELECT count(*) FROM workflow_journal AS j WHERE j.kind = i.kind AND j.id = i.id)
"""


class StartUpdates(Trigger, frozen=True, kw_only=True):
    """Starts the updates of one number's rows."""

    kind = "updates"
    service = "bench"

    number: int


class UpdatesWorkflow:
    """Five steps, each of them one `UPDATE … RETURNING`."""

    kind = "updates"

    async def run(self, ctx: WorkflowContext, start: StartUpdates) -> int:
        """The updates, one step each."""
        total = 0
        for place in range(UPDATES):
            total += await ctx.step(f"update_{place}", self.update, start.number, place)
        return total

    async def update(self, step: Step, number: int, place: int) -> int:
        """One update."""
        return await count_up(step.connection, number, place)


async def plain_transaction(pool: asyncpg.Pool[asyncpg.Record], number: int) -> int:
    """BEGIN, the same five updates, COMMIT."""
    total = 0
    async with pool.acquire() as connection, connection.transaction():
        for place in range(UPDATES):
            total += await count_up(connection, number, place)
    return total


async def count_up(connection: Connection, number: int, place: int) -> int:
    """Counts up the row of a number and a place, and returns where it stands."""
    return int(await connection.fetchval(COUNT_UP, number * UPDATES + place))
