"""The timer of the health checks, which depends on nothing that it looks at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import aiohttp
import structlog
from msgspec.structs import replace

from services.maintenance.config import MaintenanceSettings
from services.maintenance.health.checks import SystemChecks
from services.maintenance.health.running import Check, run_all
from services.maintenance.health.telling import Teller, Telling, telling
from services.maintenance.owners import Owners
from services.maintenance.rules.health import Standing, judge, tell, worst
from shared.messages.maintenance import ComponentHealth, HealthChecked, HealthQuery
from shared.notify.plan import NoticePlan
from shared.runtime import metrics
from shared.runtime.clocks import SystemClock
from shared.runtime.notifying import open_notifier
from shared.runtime.surroundings import Surroundings
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

log = structlog.get_logger()

FIGURES = {"pass": 1.0, "warn": 0.5, "fail": 0.0}


class HealthMonitor:
    """Every replica looks and judges; the one that leads tells. On machine time throughout."""

    name = "health_monitor"

    def __init__(self, settings: MaintenanceSettings, owners: Owners, plan: NoticePlan):
        self._settings = settings
        self._owners = owners
        self._plan = plan
        self._cooldown = timedelta(seconds=settings.health_cooldown_seconds)
        self._machine_now = SystemClock().now
        self._checks: list[Check] = []
        self._teller: Teller | None = None
        self._business: Clock = SystemClock()
        self._standings: dict[str, Standing] = {}
        self._results: dict[str, ComponentHealth] = {}
        self._looked = asyncio.Event()

    @asynccontextmanager
    async def standing_on(self, surroundings: Surroundings) -> AsyncGenerator[None]:
        """Gives it what it looks at, and its ways out."""
        settings = self._settings
        async with (
            aiohttp.ClientSession() as http,
            open_notifier("maintenance", self._plan, settings, surroundings.pool) as notifier,
        ):
            self._checks = SystemChecks(
                surroundings,
                self._owners,
                http,
                gateway_url=settings.gateway_url,
                stuck_seconds=settings.health_stuck_seconds,
            ).all()
            self._teller = Teller(surroundings.pool, notifier)
            self._business = surroundings.clock
            yield

    async def run(self) -> None:
        """Looks at every interval; what is told takes its own time beside."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._look_for_ever())
            loops.create_task(self._tell_for_ever())

    async def tick(self) -> None:
        """Nothing: it has no business time."""

    async def earliest_at(self) -> datetime | None:
        """Never."""
        return None

    async def check(self) -> HealthChecked:
        """Looks once, and judges nothing. Raises Transient before the service has begun."""
        if not self._checks:
            raise Transient("the service has not begun")
        results = await run_all(self._checks, self._machine_now)
        return HealthChecked(status=worst(results), components=results)

    async def health(self, _surroundings: Surroundings, _query: HealthQuery) -> HealthChecked:
        """What the last look of this replica found."""
        results = tuple(self._results.values())
        return HealthChecked(status=worst(results), components=results)

    async def look(self) -> None:
        """Looks at everything and judges what it finds."""
        for found in await run_all(self._checks, self._machine_now):
            last = self._results.get(found.component)
            known = last is not None and last.status == found.status
            self._results[found.component] = (
                replace(found, since=last.since) if last is not None and known else found
            )
            metrics.COMPONENT_HEALTH.labels(found.component).set(FIGURES[found.status])
            metrics.COMPONENT_CHECK_SECONDS.labels(found.component).set(found.seconds)
            # What fails for another's sake is judged once that one is well again.
            if found.cause is None:
                standing = self._standings.get(found.component, Standing())
                self._standings[found.component] = judge(standing, found.status)
        self._looked.set()

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("health_look_failed")
            await asyncio.sleep(self._settings.health_seconds)

    async def _tell_for_ever(self) -> None:
        while True:
            await self._looked.wait()
            self._looked.clear()
            try:
                await self._tell()
            except Exception:
                # Of a monitor that ended nobody would hear anything any more.
                log.exception("health_telling_failed")

    async def _tell(self) -> None:
        if self._teller is not None and await self._teller.prepare():
            await self._teller.tell(self._news(self._teller))

    def _news(self, teller: Teller) -> list[Telling]:
        now = self._machine_now()
        found: list[Telling] = []
        for component, standing in self._standings.items():
            told = tell(standing, teller.told(component), now, self._cooldown)
            if told is not None:
                found.append(telling(self._results[component], told, self._business.now()))
        return found
