"""One replica of a service, as far as a harness goes: deliveries and the timekeeper, with the
points at which it may be cut off or frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from shared.runtime.timekeeper import Timekeeper
from shared.testing.faults import (
    Cut,
    Faults,
    FaultyDelivery,
    FaultyPublisher,
    FaultyStatusBucket,
    FaultyStore,
)
from shared.testing.world import World
from shared.workflow.executor import Executor
from shared.workflow.ports import Clock, Delivery
from shared.workflow.registry import Registry
from shared.workflow.settings import EngineSettings


class Process:
    """Works until its faults end it."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        *,
        service: str,
        registry: Registry,
        clock: Clock,
        settings: EngineSettings,
    ):
        self.faults = faults
        self.is_lost = False
        """Cut off, or frozen: another must take over."""
        self._frozen: asyncio.Task[object] | None = None
        store = FaultyStore(world.store, faults)
        publisher = FaultyPublisher(world.publisher, faults)
        self._timekeeper = Timekeeper(store, publisher, clock, interval_seconds=1)
        self._executor = Executor(
            service=service,
            registry=registry,
            store=store,
            publisher=publisher,
            statuses=FaultyStatusBucket(world.statuses, faults),
            clock=clock,
            monotonic=world.machine,
            settings=settings,
        )

    async def deliver(self, delivery: Delivery) -> None:
        """Carries out a delivery, as far as it comes."""
        await self._work(self._executor.deliver(FaultyDelivery(delivery, self.faults)))

    async def tick(self) -> None:
        """Publishes wakes for what is due, as far as it comes."""
        await self._work(self._timekeeper.tick())

    @property
    def is_frozen(self) -> bool:
        """Whether it is to be thawed some day."""
        return self._frozen is not None

    async def thaw(self) -> None:
        """Lets a frozen process go on, and waits for what it was at."""
        self.faults.thaw.set()
        if self._frozen is not None:
            frozen, self._frozen = self._frozen, None
            await frozen

    async def _work(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        if self.faults.freezes:
            reaching = asyncio.ensure_future(self.faults.reached.wait())
            await asyncio.wait({task, reaching}, return_when=asyncio.FIRST_COMPLETED)
            reaching.cancel()
            if not task.done():
                self.is_lost = True
                self._frozen = task
                return
        try:
            await task
        except Cut:
            self.is_lost = True
