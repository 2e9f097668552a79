"""What every channel promises, on the one in memory and on the real ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import aiohttp
import pytest

from shared.messages.notices import Notice
from shared.notify.channel import Channel, ChannelName, NotSent, Undeliverable
from shared.notify.mail import MailChannel
from shared.notify.notifier import Notifier, letter_id
from shared.notify.webhook import WebhookChannel, signing_key
from shared.testing.channel import MemoryChannel
from tests.receivers import (
    PASSWORD,
    USER,
    WEBHOOK_SECRET,
    MemoryReceiver,
    Receiver,
    mail_server,
    webhook_receiver,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTICE = Notice(name="greeting", recipient="ann", key="one", data={"said": "hello"})


class Line(NamedTuple):
    """A channel and who is at its other end."""

    channel: Channel
    receiver: Receiver

    async def send(self, notice: Notice = NOTICE) -> None:
        async def find_address(recipient: str) -> str:
            return f"{recipient}@example.org"

        routes: dict[str, list[ChannelName]] = {}
        notifier = Notifier("player", [self.channel], routes, find_address)
        await notifier.send(self.channel, notice, NOW)


@asynccontextmanager
async def memory(timeout_seconds: float) -> AsyncGenerator[Line]:
    channel = MemoryChannel(timeout_seconds=timeout_seconds)
    yield Line(channel, MemoryReceiver(channel))


@asynccontextmanager
async def mail(timeout_seconds: float) -> AsyncGenerator[Line]:
    async with mail_server() as server:
        channel = MailChannel(
            host="localhost",
            port=server.port,
            sender="game@example.org",
            templates={},
            username=USER,
            password=PASSWORD,
            tls=server.client_tls(),
            timeout_seconds=timeout_seconds,
        )
        yield Line(channel, server)


@asynccontextmanager
async def webhook(timeout_seconds: float) -> AsyncGenerator[Line]:
    async with webhook_receiver() as receiver, aiohttp.ClientSession() as session:
        channel = WebhookChannel(
            session,
            url=receiver.url,
            key=signing_key(WEBHOOK_SECRET),
            machine_now=lambda: NOW,
            timeout_seconds=timeout_seconds,
        )
        yield Line(channel, receiver)


@pytest.fixture(params=[memory, mail, webhook], ids=["memory", "mail", "webhook"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    async with request.param(10.0) as line:
        yield line


@pytest.fixture(params=[memory, mail, webhook], ids=["memory", "mail", "webhook"])
async def impatient_line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    """Gives up at once whatever does not answer at once."""
    async with request.param(0.5) as line:
        yield line


async def test_a_letter_arrives_under_its_id_with_its_facts(line: Line) -> None:
    await line.send()
    assert line.receiver.ids() == [letter_id("player", NOTICE)]
    assert line.receiver.facts() == ["hello"]


async def test_a_letter_sent_again_has_the_same_id_and_another_notice_another(line: Line) -> None:
    await line.send()
    await line.send()
    await line.send(Notice(name="greeting", recipient="ann", key="two", data={"said": "hello"}))
    first, second, other = line.receiver.ids()
    assert first == second != other


async def test_a_refusal_for_good_is_undeliverable_and_names_no_address(line: Line) -> None:
    line.receiver.refuse(for_good=True)
    with pytest.raises(Undeliverable) as refused:
        await line.send()
    assert "example.org" not in str(refused.value)
    assert line.receiver.ids() == []


async def test_a_refusal_for_now_is_not_sent(line: Line) -> None:
    line.receiver.refuse(for_good=False)
    with pytest.raises(NotSent):
        await line.send()
    assert line.receiver.ids() == []


async def test_a_receiver_that_is_away_is_not_sent(line: Line) -> None:
    await line.receiver.leave()
    with pytest.raises(NotSent):
        await line.send()


async def test_a_receiver_that_hangs_costs_the_channels_time_and_no_more(
    impatient_line: Line,
) -> None:
    impatient_line.receiver.hang()
    with pytest.raises(NotSent, match=r"no answer within 0\.5 s"):
        await impatient_line.send()
    assert impatient_line.receiver.ids() == []
