"""Kills and freezes processes at times drawn from a seed, and starts again whatever has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import NamedTuple

import psutil

from shared.runtime.embedded.child import ChildProcess
from tests.cluster import Cluster

KILLS_PER_SECOND = 1.2
FEWEST_KILLS = 20
FEWEST_OF_A_CLASS = 3
FREEZES_PER_SECOND = 0.2
FREEZE_SECONDS = 3.0
"""Longer than a lease: others take over what the frozen process goes on with."""
PAUSE_SECONDS = 0.1


class Blow(NamedTuple):
    """One kill -9 to come, or one freeze."""

    at_seconds: float
    kind: str
    """service, nats or postgres, which are killed; or freeze."""
    victim: ChildProcess


def plan(cluster: Cluster, random: Random, seconds: float) -> list[Blow]:
    """The blows of a storm, in order."""
    victims: dict[str, tuple[ChildProcess, ...]] = {
        "service": (*cluster.players, cluster.gateway),
        "nats": cluster.nats.nodes,
        "postgres": (cluster.postgres,),
        "freeze": (*cluster.players, cluster.gateway, *cluster.nats.nodes, cluster.postgres),
    }
    number = max(FEWEST_KILLS, round(seconds * KILLS_PER_SECOND))
    killed = ("service", "nats", "postgres")
    kinds = [kind for kind in killed for _ in range(FEWEST_OF_A_CLASS)]
    # Services more often: most of what can go wrong is theirs.
    kinds += random.choices(killed, (2, 1, 1), k=number - len(kinds))
    kinds += ["freeze"] * round(seconds * FREEZES_PER_SECOND)
    blows = (
        Blow(random.uniform(0.02, 0.95) * seconds, kind, random.choice(victims[kind]))
        for kind in kinds
    )
    return sorted(blows, key=lambda blow: blow.at_seconds)


class Chaos:
    """Carries a plan out; a process that starts may be killed again before it is ready."""

    def __init__(self, cluster: Cluster):
        self.blows: Counter[str] = Counter()
        self.own_deaths: list[str] = []
        """Who ended without being killed, with its last words."""
        self._children: tuple[ChildProcess, ...] = (
            *cluster.nats.nodes,
            cluster.postgres,
            *cluster.players,
            cluster.gateway,
        )
        self._locks = {child.name: asyncio.Lock() for child in self._children}
        self._guards: list[asyncio.Task[None]] = []

    def guard(self) -> None:
        """Starts whoever ends again, from now on until `leave`."""
        self._guards = [asyncio.create_task(self._keep(child)) for child in self._children]

    async def leave(self) -> None:
        """Lets processes end, as those who stop them want it."""
        for guard in self._guards:
            guard.cancel()
        await asyncio.gather(*self._guards, return_exceptions=True)

    async def rage(self, blows: list[Blow]) -> None:
        """Kills and freezes according to the plan."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as thaws:
            for blow in blows:
                await asyncio.sleep(began + blow.at_seconds - loop.time())
                self.blows[blow.kind] += 1
                if blow.kind == "freeze":
                    thaws.create_task(self._freeze(blow.victim))
                else:
                    await self._kill(blow.victim)

    async def _kill(self, child: ChildProcess) -> None:
        async with self._locks[child.name]:
            await self._revive(child)
            await child.kill()
            await child.spawn()

    async def _freeze(self, child: ChildProcess) -> None:
        """Like a long pause of the machine; a kill meanwhile ends it too."""
        if child.pid is None:
            return
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            process.suspend()
            try:
                await asyncio.sleep(FREEZE_SECONDS)
            finally:
                process.resume()

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
