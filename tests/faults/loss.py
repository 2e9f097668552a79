"""The loss of all that NATS holds, and `recover` while the services live."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nats.aio.client import Client

from shared.jetstream.connection import Unreachable, jetstream
from shared.jetstream.patience import PASSING
from shared.messages import subjects
from shared.runtime.config import load
from shared.runtime.definition import ServiceSettings
from shared.runtime.recovery import recover_service
from shared.workflow.errors import Transient
from shared.workflow.gate import Gate
from tests.cluster import Cluster, environment_of
from tests.faults.chaos import Chaos

LOOK_SECONDS = 0.05
PAUSE_SECONDS = 0.5
PATIENCE_SECONDS = 90.0
ACCEPTED = {
    subjects.workflows_stream("player"): (subjects.start("player"),),
    subjects.workflows_stream("travel"): (
        subjects.start("trip"),
        subjects.signals("trip"),
        subjects.control("trip"),
    ),
    subjects.INGEST_STREAM: (subjects.ingest("player", ">"),),
}
"""What callers were told is accepted, until a service takes it: what a 202 is worth (rule 31)."""
KINDS = {"player": ("player",), "travel": ("trip", "errand")}


class Loss:
    """Takes the data of all nodes once nothing accepted lies there alone; wakes, starts of children
    and statuses go with it."""

    def __init__(self, cluster: Cluster, chaos: Chaos, client: Client, gate: Gate):
        self._cluster = cluster
        self._chaos = chaos
        self._js = jetstream(client)
        self._gate = gate
        self.recovered: list[str] = []
        """What each service's recovery did."""

    async def strike(self) -> None:
        """Callers wait at the gate until the nodes are started again; recovery is beside them.

        Raises TimeoutError when what was accepted is not taken.
        """
        async with self._gate.alone(), asyncio.timeout(PATIENCE_SECONDS):
            await self._until_all_is_taken()
            await self._chaos.lose_nats()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(self._recover(name) for name in KINDS))

    async def _until_all_is_taken(self) -> None:
        for stream, accepted in ACCEPTED.items():
            for each in accepted:
                left: object = "nobody could look"
                while left:
                    await asyncio.sleep(LOOK_SECONDS)
                    with suppress(*PASSING):
                        info = await self._js.stream_info(stream, subjects_filter=each)
                        left = info.state.subjects

    async def _recover(self, name: str) -> None:
        """As `padawanforge recover` does, again until it comes through."""
        environment = {
            **environment_of(self._cluster.nats, "operator"),
            "DATABASE_URL": self._cluster.databases[name],
        }
        settings = load(ServiceSettings, environment)
        while True:
            try:
                done = await recover_service(name, KINDS[name], settings, lambda _: None)
            except (Transient, Unreachable):
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.recovered.append(f"{name}: {done}")
                return
