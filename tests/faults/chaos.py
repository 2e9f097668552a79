"""Carries a schedule out, and starts again whatever has ended."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack

from shared.runtime.embedded.child import ChildProcess
from tests.cluster import Cluster
from tests.faults.schedule import Blow, Victims

PAUSE_SECONDS = 0.1


class Chaos:
    """Hits the processes of a cluster; one that starts may be hit again before it is ready."""

    def __init__(self, cluster: Cluster):
        self.blows: Counter[str] = Counter()
        """Those that were struck, by kind and what was hit."""
        self.own_deaths: list[str] = []
        """Who ended without being hit, with its last words."""
        self._nats = cluster.nats
        self._postgres = cluster.postgres
        self._services = cluster.services
        self._children: dict[str, ChildProcess] = {
            child.name: child for child in (*self._nats.nodes, self._postgres, *self._services)
        }
        self._locks = {name: asyncio.Lock() for name in self._children}
        self._guards: list[asyncio.Task[None]] = []

    def victims(self, streams: Iterable[str]) -> Victims:
        """What a schedule may hit."""
        return Victims(
            services=tuple(child.name for child in self._services),
            nodes=tuple(child.name for child in self._nats.nodes),
            postgres=self._postgres.name,
            streams=tuple(streams),
        )

    def guard(self) -> None:
        """Starts whoever ends again, from now on until `leave`."""
        self._guards = [asyncio.create_task(self._keep(each)) for each in self._children.values()]

    async def leave(self) -> None:
        """Lets processes end, as those who stop them want it."""
        for guard in self._guards:
            guard.cancel()
        await asyncio.gather(*self._guards, return_exceptions=True)

    async def rage(
        self, blows: Iterable[Blow], lose: Callable[[], Coroutine[None, None, None]]
    ) -> None:
        """Strikes at the scheduled times; `lose` is what happens to NATS at its loss.

        Returns when all is done; a leader is killed only once there is one.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for blow in blows:
                await asyncio.sleep(began + blow.at_seconds - loop.time())
                group.create_task(lose() if blow.kind == "loss" else self._strike(blow))

    async def lose_nats(self) -> None:
        """Ends all nodes, deletes their data and starts them again."""
        async with AsyncExitStack() as stack:
            for node in self._nats.nodes:
                await stack.enter_async_context(self._locks[node.name])
            await asyncio.gather(*(node.kill() for node in self._nats.nodes))
            for node in self._nats.nodes:
                await asyncio.to_thread(shutil.rmtree, node.data / "jetstream", ignore_errors=True)
                await node.spawn()
            self.blows["loss of NATS"] += 1

    async def _strike(self, blow: Blow) -> None:
        if blow.kind == "leader":
            child: ChildProcess = await self._nats.leader_of(blow.victim)
        else:
            child = self._children[blow.victim]
        if blow.kind == "freeze":
            await self._freeze(child, blow.seconds)
        else:
            async with self._locks[child.name]:
                await self._revive(child)
                await (child.stop() if blow.kind == "restart" else child.kill())
                await child.spawn()
        self.blows[f"{blow.kind} of {self._class_of(child)}"] += 1

    async def _freeze(self, child: ChildProcess, seconds: float) -> None:
        """Like a long pause of the machine; a kill meanwhile ends it too."""
        child.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            child.thaw()

    async def _keep(self, child: ChildProcess) -> None:
        while True:
            await child.wait()
            async with self._locks[child.name]:
                await self._revive(child)

    async def _revive(self, child: ChildProcess) -> None:
        if not child.running:
            code = await child.wait()
            self.own_deaths.append(f"{child.name} ended with {code}: {child.last_words()}")
            await asyncio.sleep(PAUSE_SECONDS)
            await child.spawn()

    def _class_of(self, child: ChildProcess) -> str:
        if child in self._nats.nodes:
            return "NATS"
        return "PostgreSQL" if child is self._postgres else "services"
