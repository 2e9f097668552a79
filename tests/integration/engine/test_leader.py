"""A service over three nodes of NATS goes on when it loses the one that leads its stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from shared.messages import subjects
from shared.runtime.embedded.nats import EmbeddedNats
from shared.testing.nats_cluster import NatsCluster
from shared.testing.samples import StartSample
from tests.integration.engine.conftest import MakePlace, StartService

COUNT = 200
STREAM = subjects.workflows_stream("sample")


def starts(prefix: str) -> list[StartSample]:
    return [StartSample(id=f"{prefix}-{number}") for number in range(COUNT)]


async def kill(node: EmbeddedNats) -> Callable[[], Awaitable[None]]:
    """Like a crash; returns what brings it back."""
    await node.kill()
    return node.start


async def freeze(node: EmbeddedNats) -> Callable[[], Awaitable[None]]:
    """Like a long pause of its machine: its connections stay open, and nobody answers on them."""
    node.freeze()

    async def back() -> None:
        node.thaw()

    return back


@pytest.mark.rule("engine-1", "engine-3", "engine-32")
@pytest.mark.parametrize("lose", [kill, freeze])
async def test_pulling_goes_on_after_a_change_of_leader(
    own_nats_cluster: NatsCluster,
    make_place: MakePlace,
    start_service: StartService,
    lose: Callable[[EmbeddedNats], Awaitable[Callable[[], Awaitable[None]]]],
) -> None:
    place = await make_place(own_nats_cluster.url, stream_replicas=3)
    leader = await own_nats_cluster.leader_of(STREAM)
    # Connected to the others, the service sees no reconnect: its request dies without a word.
    place.nats_url = ",".join(node.url for node in own_nats_cluster.nodes if node is not leader)
    await place.publish(starts("before"))
    await start_service(place, stream_replicas=3)
    await place.until_ended(COUNT // 4)
    bring_back = await lose(leader)
    assert await own_nats_cluster.leader_of(STREAM) is not leader
    await place.publish(starts("after"))
    await place.until_ended(2 * COUNT)
    await bring_back()
    await place.until_settled()
    assert await place.doubled() == []
    assert await place.wrong_statuses() == []
