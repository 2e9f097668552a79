"""What the maintenance service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from services.maintenance.config import MaintenanceSettings
from services.maintenance.handlers import analytics
from services.maintenance.owners import Owners
from services.maintenance.rollups import Rollups
from services.maintenance.workflows.analytics import Analytics
from services.maintenance.workflows.cache import CacheInvalidation
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.health import HealthChecks
from services.maintenance.workflows.logs import LogRotation
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.jetstream.backlog import caught_up
from shared.jetstream.connection import jetstream
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.workflows import StartSystem
from shared.runtime.definition import Begin, OwnPart, ServiceDefinition
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import register


def define(settings: MaintenanceSettings) -> ServiceDefinition:
    """The service under its settings."""
    owners, rolling = Owners(), Analytics()
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(),
        rotate_logs=LogRotation(),
        invalidate_cache=CacheInvalidation(),
        perform_health_checks=HealthChecks(),
        process_analytics=rolling,
    )
    return ServiceDefinition(
        name="maintenance",
        workflows=[register(StartSystem, system)],
        crons=[Cron("system", StartSystem(), settings.system_cron, settings.system_time_zone)],
        crons_revision=1,
        queries=analytics.QUERIES,
        events=analytics.EVENTS,
        begin=beginning(owners, rolling, settings),
    )


def beginning(owners: Owners, rolling: Analytics, settings: MaintenanceSettings) -> Begin:
    """Gives the parts what they stand on, for as long as the service runs."""

    @asynccontextmanager
    async def begin(surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        owners.give(Requests(surroundings.client))
        js = jetstream(surroundings.client)
        consumer = subjects.events_consumer("maintenance")
        rollups = Rollups(
            surroundings.pool,
            surroundings.clock,
            partial(caught_up, js, subjects.EVENTS_STREAM, consumer),
            interval_seconds=settings.rollup_seconds,
        )
        rolling.give(rollups)
        yield [rollups]

    return begin
