"""The nats-servers of a test: a cluster, or one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from nats.js.client import JetStreamContext

from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.patience import PASSING
from shared.runtime.embedded.nats import EmbeddedNats

T = TypeVar("T")

ELECTION_SECONDS = 60.0
LOOK_SECONDS = 0.05


class NatsCluster:
    """Nodes that replicate JetStream's streams, and who leads them; one alone is none's replica."""

    def __init__(self, nodes: tuple[EmbeddedNats, ...], user: tuple[str, str] | None = None):
        self.nodes = nodes
        self._user = user

    @property
    def url(self) -> str:
        """Where its own user connects, if it has one: all nodes, separated by commas."""
        if self._user is not None:
            return self.url_as(*self._user)
        return ",".join(node.url for node in self.nodes)

    def url_as(self, user: str, password: str) -> str:
        """Where a user connects."""
        return ",".join(node.url_as(user, password) for node in self.nodes)

    async def start(self) -> None:
        """Starts every node and returns once they have elected a leader: JetStream answers."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        await self.asked(lambda js: js.account_info())

    async def stop(self) -> None:
        """Ends every node, frozen ones too."""
        for node in self.nodes:
            node.thaw()
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def leader_of(self, stream: str) -> EmbeddedNats:
        """The running node that leads the stream, after the election if there is one now.

        Raises TimeoutError when none comes about, NotFoundError when there is no such stream.
        """

        if len(self.nodes) == 1:
            return self.nodes[0]

        async def leader(js: JetStreamContext) -> EmbeddedNats | None:
            cluster = (await js.stream_info(stream)).cluster
            # The others may name a node for a while that has been killed.
            leaders = (node for node in self.nodes if cluster and node.name == cluster.leader)
            return next((node for node in leaders if node.running), None)

        return await self.asked(leader)

    async def asked(self, ask: Callable[[JetStreamContext], Awaitable[T | None]]) -> T:
        """What `ask` finds, asked again while nodes elect a leader or it finds nothing.

        Raises TimeoutError when nothing comes of it.
        """
        client = await connect(self.url, "cluster")
        try:
            async with asyncio.timeout(ELECTION_SECONDS):
                while True:
                    with suppress(*PASSING):
                        if (answer := await ask(jetstream(client))) is not None:
                            return answer
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            await close(client)
