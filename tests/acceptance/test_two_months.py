"""Two months of dunning over real processes: each customer ends in the one right state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

import services.billing
from shared.jetstream.connection import close, connect
from shared.jetstream.topology import kinds_by_service
from shared.runtime.virtual.coordinator import Coordinator, Journey
from tests.acceptance.office import Office, Subscriber, taken
from tests.acceptance.two_months import (
    DAY_0,
    END,
    IN_FLIGHT,
    READINGS,
    STORIES,
    TRIAL,
    Account,
    Story,
)
from tests.cluster import Cluster, OwnService, denials, running_cluster

SERVICES = ("player", "billing")
VIRTUAL = {"CLOCK": "virtual", "CLOCK_START": (DAY_0 - TRIAL).isoformat(), "LOG_LEVEL": "warning"}
DEAD_LETTERS = "SELECT subject, reason, detail FROM dead_letters"
FAILED = "SELECT kind, id, status FROM workflow_instances WHERE status IN ('errored', 'paused')"


def settings(gateway: str) -> dict[str, str]:
    """Billing's own."""
    return {
        "PAYMENT_PROVIDER": "sandbox",
        "SANDBOX_WEBHOOK_SECRET": "whsec_for_tests",
        "SANDBOX_WEBHOOK_URL": f"{gateway}/api/webhooks/sandbox",
    }


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two replicas of each service; the clock stands where the trials begin."""
    sql = Path(services.billing.__path__[0]) / "sql"
    kinds = tuple(kinds_by_service()["billing"])
    billing = OwnService("billing", "services.billing", kinds, sql, settings)
    async with running_cluster(tmp_path, replicas=2, settings=VIRTUAL, own=billing) as cluster:
        yield cluster
    assert denials(tmp_path) == []


@pytest.mark.rule(
    "billing-dunning", "billing-hard-declines", "billing-past-due-notices", "billing-ledger"
)
async def test_each_customer_ends_in_the_one_right_state(
    cluster: Cluster, record_property: Any
) -> None:
    async with AsyncExitStack() as stack:
        client = await connect(cluster.nats_url, "test")
        stack.push_async_callback(close, client)
        database = await stack.enter_async_context(
            asyncpg.create_pool(cluster.databases["billing"], min_size=0, max_size=4)
        )
        office = Office(await stack.enter_async_context(cluster.http()), database)
        started = monotonic()
        subscribers = await open_accounts(office)
        journeys = await live_through(office, Coordinator(client, SERVICES), subscribers)
        seconds = monotonic() - started

        books = await office.books(END)
        found = {each.story: await office.account(each, books) for each in subscribers}
        cash = {each.story.name: await office.cash(each) for each in subscribers}
        in_flight = [each.story.name for each in subscribers if await office.in_flight(each)]
        violations = (await office.violations()).violations
        dead_letters = [tuple(each) for each in await database.fetch(DEAD_LETTERS)]
        failed = [tuple(each) for each in await database.fetch(FAILED)]
        ledger = await office.ledger()

    record_property(
        "two months",
        f"{(END - DAY_0 + TRIAL) / timedelta(days=1):g} virtual days of {len(STORIES)} customers "
        f"in {seconds:.1f} s: {sum(each.stops for each in journeys)} stops of the clock, "
        f"{sum(each.deliveries for each in journeys)} deliveries",
    )
    for story, account in found.items():
        record_property(story.name, " | ".join(account))
    assert differences(found) == []
    assert cash == {each.story.name: taken(books, each, END) for each in subscribers}
    assert in_flight == list(IN_FLIGHT)
    assert (ledger, violations, dead_letters, failed) == (0, (), [], [])


async def open_accounts(office: Office) -> list[Subscriber]:
    """Everybody begins the trial."""
    await office.offer_plans()
    return [await office.subscribe(story) for story in STORIES]


async def live_through(
    office: Office, clock: Coordinator, subscribers: Sequence[Subscriber]
) -> list[Journey]:
    """Goes to each instant at which somebody does something, and at last to the end."""
    deeds = [(act, each) for each in subscribers for act in each.story.acts]
    journeys: list[Journey] = []
    for instant in sorted({DAY_0, *(act.at for act, _ in deeds), *READINGS, END}):
        journeys.append(await clock.advance(instant))
        await office.read_notices()
        if instant == DAY_0:
            for each in subscribers:
                await office.run(each)
        for act, each in deeds:
            if act.at == instant:
                await office.act(each, act)
    return journeys


def differences(found: dict[Story, Account]) -> list[str]:
    """Where a customer's account is not the one right one."""
    return [
        f"{story.name}: {field} is {is_!r}, and ought to be {ought!r}"
        for story, account in found.items()
        for field, is_, ought in zip(Account._fields, account, story.account, strict=True)
        if is_ != ought
    ]
