"""Settling a delivery when the connection is gone."""

from __future__ import annotations

import pytest

from shared.jetstream import topology
from shared.jetstream.connection import connect, jetstream
from shared.jetstream.delivery import JetStreamDelivery
from shared.messages import subjects
from shared.workflow.errors import Transient


async def test_a_delivery_without_a_connection_cannot_be_settled_now(nats_url: str) -> None:
    client = await connect(nats_url, "test")
    js = jetstream(client)
    await topology.ensure(js, "player", ["player"])
    await js.publish(subjects.start("player"), b"{}")
    queue = await js.pull_subscribe_bind(
        subjects.starts_consumer("player"), subjects.workflows_stream("player")
    )
    [message] = await queue.fetch(1)
    delivery = JetStreamDelivery(client, message, "now")

    await client.close()

    with pytest.raises(Transient, match=r"settle WORKFLOWS_PLAYER/now/1"):
        await delivery.ack()
