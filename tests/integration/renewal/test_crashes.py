"""A renewal whose process is lost at any point: the provider's books and the ledger still agree."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from shared.postgres.pool import create_pool
from shared.testing.harness import Harness, OpenHarness
from shared.testing.sweep import at_every_point
from shared.testing.worlds import Servers
from tests.conftest import MakeDatabase
from tests.integration.renewal.bench import SQL, Bench, Following, registrations, sandbox_on

EVERY = 1 if os.environ.get("SWEEP") == "full" else 7
"""At each how manyth point it is lost; `SWEEP=full` for all of them."""


@asynccontextmanager
async def opened(open_harness: OpenHarness, make_database: MakeDatabase) -> AsyncGenerator[Bench]:
    """A bench whose sandbox, as a provider does, outlives the process."""
    pool = await create_pool(
        await make_database("billing"), size=4, name="sandbox", idle_timeout_seconds=30
    )
    following = Following()
    sandbox = sandbox_on(pool, following)
    async with open_harness(registrations(following, sandbox), sql=SQL) as harness:
        following.harness = harness
        bench = Bench(harness, sandbox)
        yield bench
        assert await bench.broken() == []
    pool.terminate()


@pytest.mark.parametrize(
    ("method", "attempts"),
    [
        ("pm_card_visa", [("cycle", "succeeded")]),
        ("sandbox_declined_1_then_succeeds", [("cycle", "declined"), ("dunning", "succeeded")]),
        ("sandbox_timeout_after_charging", [("cycle", "succeeded")]),
    ],
)
async def test_a_period_is_charged_and_given_once_wherever_the_process_is_lost(
    servers: Servers,
    make_database: MakeDatabase,
    method: str,
    attempts: list[tuple[str, str]],
    record_property: Callable[[str, object], None],
) -> None:
    async def renewal(open_harness: OpenHarness) -> None:
        async with opened(open_harness, make_database) as bench:
            await bench.subscribe(method)
            renewal = await bench.renew()
            await bench.harness.advance(days=10)
            assert renewal.status == "complete"
            assert await bench.attempts() == attempts
            [paid] = [each for each in await bench.booked() if each.state == "succeeded"]
            assert (paid.amount_minor, paid.refunded_minor) == (999, 0)
            assert await bench.balances() == {"cash:sandbox": 999, "revenue": -999}
            subscription = await bench.subscription()
            assert (subscription["status"], subscription["periods"]) == ("active", 1)

    points = await at_every_point(
        partial(Harness.on_servers, servers=servers), renewal, every=EVERY
    )
    record_property("points of a renewal", f"{method}: {len(points)}, each {EVERY}.")
    assert len(points) > 10


async def test_a_subscription_ends_once_and_late_money_goes_back_wherever_the_process_is_lost(
    servers: Servers, make_database: MakeDatabase, record_property: Callable[[str, object], None]
) -> None:
    async def renewal(open_harness: OpenHarness) -> None:
        async with opened(open_harness, make_database) as bench:
            await bench.subscribe("sandbox_pending_40_days_then_succeeds")
            renewal = await bench.renew()
            await bench.harness.advance(days=45)
            assert renewal.status == "complete"
            [paid] = await bench.booked()
            assert (paid.state, paid.refunded_minor) == ("succeeded", 999)
            assert await bench.balances() == {"revenue": -999, "bad_debt": 999}
            assert await bench.notices() == ["cancellation"]
            assert len(await bench.harness.instances("subscription_cleanup")) == 1

    points = await at_every_point(
        partial(Harness.on_servers, servers=servers), renewal, every=EVERY * 24
    )
    record_property("points of a late payment", f"{len(points)}, each {EVERY * 24}.")
    assert len(points) > 10
