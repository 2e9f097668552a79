"""Which notice goes where, and what becomes of a letter that breaks its channel."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.messages.notices import Notice
from shared.notify.channel import ChannelName, NotSent, Undeliverable
from shared.notify.notifier import Notifier, letter_id
from shared.testing.channel import MemoryChannel

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOTICE = Notice(name="greeting", recipient="ann", key="k")


async def nobody(_: str) -> str | None:
    return None


def test_only_channels_that_are_set_up_are_routed_to_each_once() -> None:
    routes: dict[str, list[ChannelName]] = {"*": ["mail"], "alert": ["webhook", "mail", "webhook"]}
    notifier = Notifier("player", [MemoryChannel("webhook")], routes, nobody)
    assert notifier.routes == {"*": (), "alert": ("webhook",)}


def test_ids_differ_by_service_name_and_key() -> None:
    others = [
        Notice(name="greeting", recipient="ann", key="l"),
        Notice(name="g", recipient="a", key="k"),
    ]
    ids = {letter_id("player", each) for each in (NOTICE, *others)} | {letter_id("billing", NOTICE)}
    assert len(ids) == 4
    assert letter_id("player", NOTICE) in ids


async def test_a_recipient_without_an_address_is_undeliverable_where_one_is_needed() -> None:
    mail, webhook = MemoryChannel("mail", needs_address=True), MemoryChannel()
    notifier = Notifier("player", [mail, webhook], {}, nobody)
    with pytest.raises(Undeliverable, match="no address"):
        await notifier.send(mail, NOTICE, NOW)
    await notifier.send(webhook, NOTICE, NOW)
    assert [letter.address for letter in webhook.sent] == [None]


async def test_an_unexpected_error_is_retried_and_its_words_are_told_to_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    channel = MemoryChannel()
    channel.failure = RuntimeError("ann@example.org with hunter2")
    with pytest.raises(NotSent, match=r"^RuntimeError$"):
        await Notifier("player", [channel], {}, nobody).send(channel, NOTICE, NOW)
    line = capsys.readouterr().out
    assert "hunter2" not in line
    assert "ann@example.org" not in line
