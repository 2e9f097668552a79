"""python -m tests.integration.engine.frozen_caller: a process that stops where it is told to.

It runs one instance with a call over a PostgreSQL. Before it passes the point it says so on its
output, and waits for a line of input; in the end it says how the delivery ended.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import asyncpg

from shared.messages.workflows import Trigger
from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.memory_status import MemoryStatusBucket
from shared.testing.rig import Rig
from shared.workflow.call import NOT_FOUND, Call, NotFound
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey
from shared.workflow.registry import register
from shared.workflow.settings import EngineSettings

BOOKS_SQL = """
CREATE TABLE books (key text PRIMARY KEY, attempt integer NOT NULL);
CREATE TABLE requests (key text NOT NULL, attempt integer NOT NULL);
"""
"""Of the other side: it carries a request out once a key, and remembers each that it heard."""

SETTINGS = EngineSettings(lease_seconds=1, call_timeout_seconds=2, call_grace_seconds=0.5)


class StartOrder(Trigger, frozen=True, kw_only=True):
    kind = "order"
    service = "sample"


class OrderWorkflow:
    """One call to the other side, which has its own connection."""

    kind = "order"

    def __init__(self, url: str, stops_at: str):
        self._url = url
        self._stops_at = stops_at

    async def run(self, ctx: WorkflowContext, start: StartOrder) -> int:
        return await ctx.call("order", self.order, verify=self.look_up)

    async def order(self, call: Call) -> int:
        if self._stops_at == "sending":
            await stop()
        connection = await asyncpg.connect(self._url)
        try:
            key = (call.idempotency_key, call.attempt)
            await connection.execute("INSERT INTO requests VALUES ($1, $2)", *key)
            await connection.execute(
                "INSERT INTO books VALUES ($1, $2) ON CONFLICT DO NOTHING", *key
            )
        finally:
            await connection.close()
        return call.attempt

    async def look_up(self, call: Call) -> int | NotFound:
        connection = await asyncpg.connect(self._url)
        try:
            found: int | None = await connection.fetchval(
                "SELECT attempt FROM books WHERE key = $1", call.idempotency_key
            )
        finally:
            await connection.close()
        return NOT_FOUND if found is None else found


class StoppingBucket(MemoryStatusBucket):
    """Stops after the commit of the attempt, before the last look at the lease."""

    async def put(
        self, key: InstanceKey, document: bytes, order: Order, revision: int | None
    ) -> int | None:
        if order[1] == 1:
            await stop()
        return await super().put(key, document, order, revision)


async def stop() -> None:
    """Says that the point has come, and waits to be sent on."""
    print("here", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def rig_on(stack: AsyncExitStack, url: str, stops_at: str) -> Rig:
    """A process of the service on the database."""
    pools = [
        await create_pool(url, size=4, name=stops_at, idle_timeout_seconds=SETTINGS.lease_seconds)
        for _ in range(2)
    ]
    for pool in pools:
        stack.callback(pool.terminate)
    return Rig(
        [register(StartOrder, OrderWorkflow(url, stops_at))],
        store=PostgresStore("sample", *pools),
        statuses=StoppingBucket() if stops_at == "committed" else MemoryStatusBucket(),
        settings=SETTINGS,
    )


async def main(url: str, stops_at: str) -> None:
    """Delivers the start, and says what became of it."""
    async with AsyncExitStack() as stack:
        rig = await rig_on(stack, url, stops_at)
        print(await rig.start(StartOrder(id="one")), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
