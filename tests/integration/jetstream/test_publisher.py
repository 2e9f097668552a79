"""Publishing on a real server: what is stored once, what is refused, what is told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from shared.jetstream.connection import MessageTooLarge, Unreachable, connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.topology import MAX_MESSAGE_BYTES, ensure_streams
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.runtime.embedded.nats import EmbeddedNats
from shared.workflow.errors import Transient
from shared.workflow.records import OutboxMessage

START = subjects.start("player")
STREAM = subjects.workflows_stream("player")


@pytest.fixture
async def client(own_nats: EmbeddedNats) -> AsyncIterator[Client]:
    connected = await connect(own_nats.url, "test")
    await ensure_streams(jetstream(connected), "player", ["player"])
    yield connected
    await connected.close()


def message(message_id: str, size: int = 2, **headers: str) -> OutboxMessage:
    return OutboxMessage(id=message_id, subject=START, body=b"x" * size, headers=headers)


async def stored(client: Client) -> int:
    return (await jetstream(client).stream_info(STREAM)).state.messages


async def test_many_messages_are_stored_each_once_however_often_they_are_published(
    client: Client,
) -> None:
    publisher = JetStreamPublisher(client, max_in_flight=10)
    messages = [message(str(number)) for number in range(250)]
    await publisher.publish(messages)
    await publisher.publish(messages)
    assert await stored(client) == 250


async def test_a_full_input_fits_with_its_headers(client: Client) -> None:
    await JetStreamPublisher(client).publish([message("1", MAX_CONTENT_BYTES, A="b" * 1000)])
    assert await stored(client) == 1


@pytest.mark.rule("engine-30")
@pytest.mark.parametrize("over", ["the stream's limit", "the server's", "it by headers alone"])
async def test_too_large_a_message_is_refused_and_the_connection_lives_on(
    client: Client, over: str
) -> None:
    size, headers = {
        "the stream's limit": (MAX_MESSAGE_BYTES, {}),
        "the server's": (client.max_payload, {}),
        "it by headers alone": (client.max_payload - 100, {"A": "b" * 100}),
    }[over]
    publisher = JetStreamPublisher(client)
    with pytest.raises(MessageTooLarge):
        await publisher.publish([message("1", size, **headers)])
    await publisher.publish([message("2")])
    assert await stored(client) == 1
    assert client.stats["reconnects"] == 0


async def test_a_subject_that_no_stream_has_is_transient(client: Client) -> None:
    await jetstream(client).delete_stream(STREAM)
    with pytest.raises(Transient, match=START):
        await JetStreamPublisher(client).publish([message("1")])


async def test_nothing_that_failed_while_nats_was_away_is_sent_after_the_reconnect(
    own_nats: EmbeddedNats, client: Client
) -> None:
    await own_nats.stop()
    with pytest.raises(Transient):
        await JetStreamPublisher(client).publish([message("1"), message("2")])
    await own_nats.start()
    fresh = await connect(own_nats.url, "fresh")
    assert await stored(fresh) == 0
    await fresh.close()


async def test_a_server_that_is_not_there_is_told_by_its_address_without_its_password(
    own_nats: EmbeddedNats,
) -> None:
    await own_nats.stop()
    url = own_nats.url.replace("nats://", "nats://user:hidden@")
    with pytest.raises(Unreachable) as unreachable:
        await connect(url, "test", first_attempts_seconds=0.2)
    assert f"127.0.0.1:{own_nats.port}" in str(unreachable.value)
    assert "hidden" not in str(unreachable.value)


async def test_who_owns_a_connection_is_told_when_it_is_closed_for_good(
    own_nats: EmbeddedNats,
) -> None:
    told: list[str] = []
    connected = await connect(own_nats.url, "test", on_closed=lambda: told.append("closed"))
    await connected.close()
    assert told == ["closed"]
