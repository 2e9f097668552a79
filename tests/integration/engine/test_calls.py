"""Calls on a real PostgreSQL: what is open while they run, and a caller stopped by the system."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

import asyncpg
import pytest

from shared.postgres.pool import create_pool
from shared.postgres.store import PostgresStore
from shared.testing.journeys import leave_row
from shared.testing.rig import Rig
from shared.testing.servers import Databases
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.registry import register
from tests.integration.engine.conftest import MakePlace, Place
from tests.integration.engine.frozen_caller import BOOKS_SQL, StartOrder, rig_on

OPEN = """
    SELECT count(*) FILTER (WHERE state <> 'idle'),
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database =
               (SELECT oid FROM pg_database WHERE datname = current_database()))
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
"""Sessions with a transaction, and holders of instances."""


class Watched:
    """Calls on the main path and on a branch, each of which looks at the database."""

    kind = "order"

    def __init__(self, url: str):
        self._url = url
        self.seen: list[tuple[int, int]] = []

    async def run(self, ctx: WorkflowContext, start: StartOrder) -> None:
        await ctx.step("before", leave_row, "before")
        await ctx.call("main", self.look)
        await ctx.step("between", leave_row, "between")
        await ctx.parallel(lambda b: b.call("branch", self.look))

    async def look(self, call: Call) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            row = await connection.fetchrow(OPEN)
        finally:
            await connection.close()
        assert row is not None
        self.seen.append((row[0], row[1]))


@pytest.mark.rule("engine-9")
async def test_no_transaction_and_no_lock_is_held_while_a_call_runs(
    nats_url: str, make_place: MakePlace, databases: Databases
) -> None:
    place = await make_place(nats_url)
    workflow = Watched(databases.as_superuser(place.database_url))
    async with AsyncExitStack() as stack:
        pools = [
            await create_pool(place.database_url, size=4, name="calls", idle_timeout_seconds=30)
            for _ in range(2)
        ]
        for pool in pools:
            stack.callback(pool.terminate)
        rig = Rig([register(StartOrder, workflow)], store=PostgresStore("sample", *pools))
        assert await rig.start(StartOrder(id="one")) == "complete"
    assert workflow.seen == [(0, 0), (0, 0)]


@pytest.fixture
async def place(nats_url: str, make_place: MakePlace) -> Place:
    """A database with the other side's books."""
    place = await make_place(nats_url)
    connection = await asyncpg.connect(place.database_url)
    await connection.execute(BOOKS_SQL)
    await connection.close()
    return place


@pytest.mark.rule("engine-18")
@pytest.mark.parametrize(
    ("stops_at", "outcome"), [("sending", "lost_claim"), ("committed", "dropped")]
)
async def test_a_stopped_caller_is_taken_over_and_sends_nothing_when_it_goes_on(
    place: Place, stops_at: str, outcome: str
) -> None:
    # Stopped before the last look at its lease, or after it: then its time-out has run out first.
    # What is on the wire by then, only the key can tell (tests/conformance/operations).
    caller = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.engine.frozen_caller",
        place.database_url,
        stops_at,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert caller.stdin is not None
    assert caller.stdout is not None
    try:
        assert await caller.stdout.readline() == b"here\n"
        caller.send_signal(signal.SIGSTOP)
        async with AsyncExitStack() as stack:
            rig = await rig_on(stack, place.database_url, "never")
            await take_over(rig)
            assert await rig.output("order", "one") == 2
        caller.send_signal(signal.SIGCONT)
        caller.stdin.write(b"\n")
        lines = (await caller.stdout.read()).decode().splitlines()
    finally:
        if caller.returncode is None:
            caller.kill()
        await caller.wait()
    assert lines[-1] == outcome
    assert await place.fetch("SELECT attempt FROM books") == [(2,)]
    assert await place.fetch("SELECT attempt FROM requests") == [(2,)]


async def take_over(rig: Rig) -> None:
    """Redelivers the start until its lease has run out and it is carried out."""
    async with asyncio.timeout(20):
        while (outcome := await rig.start(StartOrder(id="one"), attempt=2)) != "complete":
            # Busy: the lease ended between the claim and the question why it was refused.
            assert outcome in {"leased", "busy"}
            await asyncio.sleep(0.05)
