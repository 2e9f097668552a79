"""Everybody on the virtual clock is asked, and whoever does not answer is told from who ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from nats.aio.client import Client

from shared.jetstream.connection import connect
from shared.messages import subjects
from shared.messages.clock import ClockQuery, ClockReading, ClockReport, ClockSet
from shared.runtime.virtual.coordinator import Coordinator, Stalled
from shared.runtime.virtual.member import Member, Unkept
from shared.runtime.virtual.members import Members
from shared.workflow.errors import Transient

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    connected = await connect(nats_url, "test")
    yield connected
    await connected.close()


@pytest.fixture
async def other(nats_url: str) -> AsyncIterator[Client]:
    connected = await connect(nats_url, "other")
    yield connected
    await connected.close()


class Frozen(Unkept):
    """Of a process that is there and does not answer."""

    frozen = False

    async def activity(self, _now: datetime, /) -> None:
        if self.frozen:
            raise Transient("the database is away")


async def join(client: Client, instant: datetime = NOW, keeper: Unkept | None = None) -> Member:
    member = Member(client, "gateway", keeper or Unkept(), instant)
    await member.join()
    return member


async def asked(members: Members) -> tuple[int, int]:
    """How many answered, and how many were silent."""
    answers = await members.ask(subjects.clock_report(), ClockQuery(), ClockReport)
    return len(answers.readings), len(answers.silent)


async def test_a_process_that_joins_takes_the_latest_instant_and_tells_its_own(
    client: Client, other: Client
) -> None:
    first = await join(client)
    later = await join(other, NOW + HOUR)
    last = await join(other)

    assert {each.clock.now() for each in (first, later, last)} == {NOW + HOUR}


async def test_an_instant_is_woken_by_only_once_all_have_taken_it(client: Client) -> None:
    member, members = await join(client), Members(client)

    await members.ask(subjects.clock_set(), ClockSet(instant=NOW + HOUR), ClockReading)
    assert (member.clock.now(), member.agreed.now()) == (NOW + HOUR, NOW)

    await members.ask(subjects.clock_report(), ClockQuery(agreed=NOW + HOUR), ClockReport)
    assert member.agreed.now() == NOW + HOUR


async def test_an_earlier_instant_changes_nothing(client: Client) -> None:
    member, members = await join(client), Members(client)

    answers = await members.ask(subjects.clock_set(), ClockSet(instant=NOW - HOUR), ClockReading)

    assert [reading.instant for reading in answers.readings] == [NOW]
    assert member.clock.now() == NOW


async def test_who_has_ended_is_forgotten_and_who_is_new_becomes_known(
    client: Client, nats_url: str
) -> None:
    members = Members(client)
    await join(client)
    leaving = await connect(nats_url, "leaving")
    await join(leaving)
    assert await asked(members) == (2, 0)

    await leaving.close()
    assert await asked(members) == (1, 0)


async def test_who_is_there_and_does_not_answer_is_silent(client: Client, other: Client) -> None:
    keeper = Frozen()
    await join(client)
    await join(other, keeper=keeper)
    members = Members(client)
    assert await asked(members) == (2, 0)

    keeper.frozen = True
    assert await asked(members) == (1, 1)
    keeper.frozen = False
    assert await asked(members) == (2, 0)


async def test_where_nobody_is_on_the_virtual_clock_it_is_refused(client: Client) -> None:
    with pytest.raises(Stalled, match="start them with CLOCK=virtual"):
        await Coordinator(client, ()).now()


async def test_a_service_that_stays_away_stalls_the_clock_and_is_named(client: Client) -> None:
    member = await join(client)

    with pytest.raises(Stalled, match=r"stream WORKFLOWS_AWAY.* repeat the command"):
        await Coordinator(client, ("away",), patience_seconds=0.1).advance(NOW + HOUR)
    assert member.clock.now() == NOW
