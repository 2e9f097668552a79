"""A database that was restored from a backup charges nobody again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

import services.billing
from shared.postgres.pool import create_pool
from shared.testing.harness import Harness
from shared.testing.worlds import Servers
from tests.conftest import MakeDatabase
from tests.integration.charges.restoring import Restoring, registrations, subscribed
from tests.integration.renewal.bench import Following, sandbox_on

SQL = Path(services.billing.__path__[0]) / "sql"

Subscribed = Callable[[str], Awaitable[Restoring]]

IN_THE_END = ("sandbox_declined_2_then_succeeds", 3)
"""Attempts on the days 0, 1 and 3."""


@pytest.fixture
async def subscribe(servers: Servers, make_database: MakeDatabase) -> AsyncIterator[Subscribed]:
    """Subscribes one customer, on a harness; the provider has a database of its own."""
    provider: asyncpg.Pool[asyncpg.Record] = await create_pool(
        await make_database("billing"), size=4, name="provider", idle_timeout_seconds=30
    )
    following = Following()
    sandbox = sandbox_on(provider, following)
    async with Harness.on_servers(
        registrations(sandbox, following), sql=SQL, servers=servers
    ) as harness:
        following.harness = harness
        yield lambda method: subscribed(harness, provider, method)
    provider.terminate()


@pytest.mark.parametrize("hours", [0, 12, 36])
@pytest.mark.parametrize(
    ("method", "attempts"),
    [
        ("pm_card_visa", 1),
        IN_THE_END,
        ("sandbox_timeout_after_charging", 1),
        ("sandbox_pending_1_days_then_succeeds", 1),
    ],
)
@pytest.mark.rule("billing-restored")
async def test_what_was_charged_after_the_backup_is_found_and_not_charged_again(
    subscribe: Subscribed, method: str, attempts: int, hours: int
) -> None:
    house = await subscribe(method)
    if hours:
        await house.run_customer()
        await house.harness.advance(hours=hours)
    await house.back_up()
    await house.run_customer()
    await house.harness.advance(days=5)
    charged = await house.booked()
    assert [each.state for each in charged] == ["declined"] * (attempts - 1) + ["succeeded"]
    assert await house.complaints() == []

    await house.restore()
    await house.run_customer()
    await house.harness.advance(days=5)

    assert await house.booked() == charged
    assert await house.complaints() == []
    assert await house.harness.rows("SELECT state, failures FROM invoices") == [
        ("paid", attempts - 1)
    ]

    await house.harness.advance(days=31)
    await house.run_customer()
    await house.harness.advance(days=5)
    assert [each.state for each in await house.booked()].count("succeeded") == 2
    assert await house.complaints() == []


@pytest.mark.rule("billing-restored")
async def test_a_charge_of_another_amount_is_left_to_an_operator(subscribe: Subscribed) -> None:
    house = await subscribe("pm_card_visa")
    await house.back_up()
    async with house.harness.connection() as connection:
        await connection.execute("UPDATE plans SET price_minor = price_minor + 1")
    await house.run_customer()
    charged = await house.booked()
    assert len(charged) == 1

    await house.restore()
    await house.run_customer()
    await house.harness.advance(days=8)

    assert await house.booked() == charged
    states = await house.harness.rows("SELECT state FROM payment_attempts")
    assert states == [("unknown",)]
    [notice] = await house.harness.rows("SELECT name, recipient FROM notices")
    assert notice == ("payment_needs_operator", "operators")
