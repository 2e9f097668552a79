"""Delivers what waits in a world until the present instant has nothing more to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.messages import subjects
from shared.testing.clocks import ManualClock
from shared.testing.crontab import Crontab
from shared.testing.faults import Faults
from shared.testing.process import Process
from shared.testing.pulled import Pulled, PulledDelivery
from shared.testing.world import World
from shared.workflow.records import InstanceKey
from shared.workflow.registry import Registration, Registry
from shared.workflow.settings import EngineSettings

PASSED_SECONDS = 60.0
"""Machine time that goes by when nothing else is left to do; longer than most leases and delays."""
MOST_PASSES = 100
"""How often it may do so before a test is told that something never comes to rest."""


class Driver:
    """One delivery after the other; a process that is lost at one is followed by another."""

    def __init__(
        self,
        world: World,
        registrations: Sequence[Registration],
        *,
        clock: ManualClock,
        settings: EngineSettings,
        faults: Faults,
        crontab: Crontab,
    ):
        self._world = world
        self._registrations = registrations
        self._clock = clock
        self._settings = settings
        self._crontab = crontab
        self._held: list[Pulled] = []
        self._starts: dict[InstanceKey, Pulled] = {}
        self._frozen: list[Process] = []
        self._process = self._make(faults)

    @property
    def faults(self) -> Faults:
        """Those of the process that works now."""
        return self._process.faults

    def replace(self, faults: Faults) -> None:
        """From now on a process with these faults works."""
        self._process = self._make(faults)

    def deploy(self, registrations: Sequence[Registration]) -> None:
        """From now on a process with these workflows works."""
        self._registrations = registrations
        self.replace(Faults())

    async def settle(self) -> None:
        """Delivers until nothing is left to do now; a frozen process then goes on, last of all."""
        passes = 0
        while True:
            while await self._deliver_next() or await self._wake_due() or await self._relay():
                pass
            if self._held or await self._world.awaits_machine_time():
                passes += 1
                await self._pass_machine_time(passes)
            elif self._frozen:
                await self._frozen.pop().thaw()
            else:
                return

    async def advance_to(self, target: datetime) -> None:
        """Goes from due instant to due instant, each on its own."""
        await self.settle()
        while (due_at := await self._next_due_at()) is not None and due_at <= target:
            self._clock.set(max(due_at, self._clock.now()))
            await self._world.publisher.publish(self._crontab.take_due(self._clock.now()))
            await self.settle()
        self._clock.set(target)

    async def _next_due_at(self) -> datetime | None:
        instants = (await self._world.next_due_at(), self._crontab.next_at)
        return min((each for each in instants if each is not None), default=None)

    async def redeliver(self, key: InstanceKey, times: int) -> None:
        """Hands a start over again, as if its acknowledgement had been lost. Raises AssertionError
        for one that never came."""
        start = self._starts.get(key)
        if start is None:
            raise AssertionError(f"no start of {key} has been delivered")
        for _ in range(times):
            start.settled, start.again_at = False, 0.0
            self._held.append(start)
            await self.settle()

    async def end(self) -> None:
        """Leaves nothing running."""
        while self._frozen:
            await self._frozen.pop().thaw()

    async def _deliver_next(self) -> bool:
        pulled = await self._next()
        if pulled is None:
            return False
        await self._process.deliver(PulledDelivery(pulled, self._world.machine))
        self._held = [each for each in self._held if not each.settled]
        self._replace_lost()
        return True

    async def _next(self) -> Pulled | None:
        """What is to be handed over again, else a message that nobody has had."""
        now = self._world.machine()
        for pulled in self._held:
            if pulled.again_at <= now:
                return pulled
        delivery = await self._world.pull(len(self._held))
        if delivery is None:
            return None
        pulled = Pulled(delivery)
        self._held.append(pulled)
        kind, action, _ = subjects.parts(delivery.subject)
        if action == "start":
            key = InstanceKey(kind, delivery.headers.get(subjects.WORKFLOW_ID, ""))
            self._starts.setdefault(key, pulled)
        return pulled

    async def _wake_due(self) -> bool:
        due_at = await self._world.next_due_at()
        if due_at is None or due_at > self._clock.now():
            return False
        await self._tick()
        return True

    async def _tick(self) -> None:
        await self._process.tick()
        self._replace_lost()

    async def _relay(self) -> bool:
        return await self._world.relay() > 0

    async def _pass_machine_time(self, passes: int) -> None:
        if passes > MOST_PASSES:
            subjects_held = [pulled.inner.subject for pulled in self._held]
            raise AssertionError(
                f"it never comes to rest: after {MOST_PASSES} minutes of machine time "
                f"{subjects_held or 'an instance'} is still under way"
            )
        await self._world.pass_machine_time(PASSED_SECONDS)
        await self._tick()

    def _replace_lost(self) -> None:
        if self._process.is_lost:
            if self._process.is_frozen:
                self._frozen.append(self._process)
            self._process = self._make(Faults())

    def _make(self, faults: Faults) -> Process:
        return Process(
            self._world,
            faults,
            service=self._registrations[0].trigger.service,
            registry=Registry(self._registrations),
            clock=self._clock,
            settings=self._settings,
        )
