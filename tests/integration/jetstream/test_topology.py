"""Streams and consumers as they are made on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from shared.jetstream.backlog import oldest_at
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.topology import created_at, ensure, ensure_consumers
from shared.messages import subjects
from shared.workflow.errors import Transient

STREAM = "WORKFLOWS_PLAYER"


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    connected = await connect(nats_url, "test")
    yield connected
    await connected.close()


@pytest.fixture
def js(client: Client) -> JetStreamContext:
    return jetstream(client)


async def test_any_number_of_replicas_make_the_topology_at_once(js: JetStreamContext) -> None:
    await asyncio.gather(*(ensure(js, "player", ["player"]) for _ in range(8)))
    names = {info.config.name for info in await js.streams_info()}
    assert names == {STREAM, "INGEST", "EVENTS", "KV_workflow-status"}
    consumers = {info.name for info in await js.consumers_info(STREAM)}
    assert consumers == {"player-starts", "player-wakes", "player-controls"}


async def test_a_stream_that_is_gone_is_trouble_that_passes(js: JetStreamContext) -> None:
    with pytest.raises(Transient, match="stream not found"):
        await created_at(js, STREAM)
    with pytest.raises(Transient, match="stream not found"):
        await ensure_consumers(js, "player", ["player"])


@pytest.mark.rule("engine-32")
async def test_starts_and_wakes_reach_consumers_of_their_own(js: JetStreamContext) -> None:
    await ensure(js, "player", ["player"])
    for subject in (subjects.start("player"), subjects.wake("player"), subjects.start("player")):
        await js.publish(subject)
    pending = {info.name: info.num_pending for info in await js.consumers_info(STREAM)}
    assert pending == {"player-starts": 2, "player-wakes": 1, "player-controls": 0}


async def test_changed_settings_are_taken_over(js: JetStreamContext) -> None:
    await ensure(js, "player", ["player"], ack_wait_seconds=30, max_ack_pending=10)
    await ensure(js, "player", ["player"], ack_wait_seconds=5, max_ack_pending=20)
    config = (await js.consumer_info(STREAM, "player-starts")).config
    assert (config.ack_wait, config.max_ack_pending, config.max_deliver) == (5, 20, -1)


async def test_an_older_build_takes_no_kind_away_from_the_stream(js: JetStreamContext) -> None:
    await ensure(js, "player", ["player", "newer"])
    await ensure(js, "player", ["player"])
    await js.publish(subjects.start("newer"))
    assert (await js.stream_info(STREAM)).state.messages == 1


async def test_a_stream_made_anew_has_another_creation_time(js: JetStreamContext) -> None:
    await ensure(js, "player", ["player"])
    first = await created_at(js, STREAM)
    assert await created_at(js, STREAM) == first
    await js.delete_stream(STREAM)
    await ensure(js, "player", ["player"])
    assert await created_at(js, STREAM) != first


async def test_the_status_bucket_is_one_that_every_client_can_open(js: JetStreamContext) -> None:
    await ensure(js, "player", ["player"])
    bucket = await js.key_value(subjects.STATUS_BUCKET)
    await bucket.put("player.one", b"{}")
    assert (await bucket.get("player.one")).value == b"{}"


async def test_the_age_of_a_backlog_is_that_of_its_oldest_message(
    client: Client, js: JetStreamContext
) -> None:
    assert await oldest_at(client, STREAM) is None
    await ensure(js, "player", ["player"])
    assert await oldest_at(client, STREAM) is None
    await js.publish(subjects.start("player"))
    first = await oldest_at(client, STREAM)
    await js.publish(subjects.start("player"))
    assert first is not None
    assert await oldest_at(client, STREAM) == first
