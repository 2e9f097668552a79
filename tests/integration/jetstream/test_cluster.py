"""Three nodes: what is acknowledged is on two of them, so the loss of a leader loses nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from shared.jetstream.cache import JetStreamCache
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.topology import ensure_streams
from shared.messages import subjects
from shared.testing.nats_cluster import NatsCluster
from shared.workflow.errors import Transient
from shared.workflow.records import OutboxMessage

STREAM = subjects.workflows_stream("player")
PUBLISHERS = 8


@pytest.fixture
async def client(own_nats_cluster: NatsCluster) -> AsyncIterator[Client]:
    connected = await connect(own_nats_cluster.url, "test")
    await ensure_streams(jetstream(connected), "player", ["player"], replicas=3)
    yield connected
    await connected.close()


async def stored_ids(js: JetStreamContext) -> list[str]:
    """The ids of all that the stream holds, as its leader tells."""
    state = (await js.stream_info(STREAM)).state
    messages = [
        await js.get_msg(STREAM, seq=sequence)
        for sequence in range(state.first_seq, state.last_seq + 1)
    ]
    return [(message.headers or {})[subjects.MESSAGE_ID] for message in messages]


class Publishing:
    """Publishes without a pause, each message until it is acknowledged."""

    def __init__(self, client: Client):
        self._publisher = JetStreamPublisher(client)
        self.acknowledged: list[str] = []
        self.enough = asyncio.Event()
        self._progress = asyncio.Condition()

    async def run(self, number: int) -> None:
        count = 0
        while not self.enough.is_set():
            count += 1
            await self._publish(f"{number}-{count}")

    async def more(self, count: int) -> None:
        """Returns once so many more are acknowledged."""
        target = len(self.acknowledged) + count
        async with asyncio.timeout(60), self._progress:
            await self._progress.wait_for(lambda: len(self.acknowledged) >= target)

    async def _publish(self, message_id: str) -> None:
        message = OutboxMessage(id=message_id, subject=subjects.start("player"), body=b"{}")
        while True:
            try:
                await self._publisher.publish([message])
            except Transient:
                continue  # there is no leader just now
            async with self._progress:
                self.acknowledged.append(message_id)
                self._progress.notify_all()
            return


async def test_no_acknowledged_message_is_lost_with_the_leader(
    own_nats_cluster: NatsCluster, client: Client
) -> None:
    publishing = Publishing(client)
    async with asyncio.TaskGroup() as group:
        for number in range(PUBLISHERS):
            group.create_task(publishing.run(number))
        for _ in range(2):
            await publishing.more(100)
            leader = await own_nats_cluster.leader_of(STREAM)
            await leader.kill()
            assert await own_nats_cluster.leader_of(STREAM) is not leader
            await publishing.more(100)
            await leader.start()
        publishing.enough.set()

    stored = await own_nats_cluster.asked(stored_ids)
    assert len(stored) == len(set(stored)), "the duplicate window outlives a leader"
    assert set(publishing.acknowledged) == set(stored)


async def test_every_stream_has_a_copy_on_each_node(client: Client) -> None:
    for info in await jetstream(client).streams_info():
        assert info.config.num_replicas == 3
        assert info.cluster is not None
        names = {info.cluster.leader, *(peer.name for peer in info.cluster.replicas or [])}
        assert names == {"nats-1", "nats-2", "nats-3"}


async def test_copies_of_a_message_that_is_being_stored_are_taken_for_it(client: Client) -> None:
    publisher = JetStreamPublisher(client)
    for number in range(10):
        message = OutboxMessage(id=f"{number}", subject=subjects.start("player"), body=b"{}")
        # All but the first meet it before it is on two nodes.
        await asyncio.gather(*(publisher.publish([message]) for _ in range(10)))
    assert len(await stored_ids(jetstream(client))) == 10


async def test_streams_are_made_once_enough_nodes_have_met(
    own_nats_cluster: NatsCluster, client: Client
) -> None:
    first, second, third = own_nats_cluster.nodes
    await asyncio.gather(*(node.kill() for node in own_nats_cluster.nodes))
    for node in own_nats_cluster.nodes:
        shutil.rmtree(node.data / "jetstream")
    await asyncio.gather(first.start(), second.start())

    async def refused(js: JetStreamContext) -> str | None:
        with pytest.raises(Transient) as trouble:
            await ensure_streams(js, "player", ["player"], replicas=3)
        return str(trouble.value) if "no suitable peers" in str(trouble.value) else None

    async def made(js: JetStreamContext) -> bool:
        try:
            await ensure_streams(js, "player", ["player"], replicas=3)
        except Transient:
            return False
        return True

    assert await own_nats_cluster.asked(refused)
    await third.start()
    assert await own_nats_cluster.asked(made)


@pytest.mark.rule("maintenance-cache")
async def test_no_invalidation_is_lost_with_the_leader(
    client: Client, own_nats_cluster: NatsCluster
) -> None:
    cache = JetStreamCache(client, replicas=3)
    before = await cache.generation("plans")
    await cache.put("plans", before, "one", b"old", ttl_seconds=600)
    after = await cache.invalidate("plans")

    await (await own_nats_cluster.leader_of(subjects.CACHES_STREAM)).kill()

    async with asyncio.timeout(60):
        while True:
            try:
                found = await cache.generation("plans")
                break
            except Transient:
                continue  # there is no leader just now
    assert found == after
