"""What the maintenance service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.maintenance.caches import Caches
from services.maintenance.archive.archiver import Archiver
from services.maintenance.config import MaintenanceSettings
from services.maintenance.handlers.caches import CacheHandlers
from services.maintenance.health.monitor import HealthMonitor
from services.maintenance.owners import Owners
from services.maintenance.workflows.analytics import Analytics
from services.maintenance.workflows.cache import CacheInvalidation
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.health import HealthChecks
from services.maintenance.workflows.logs import LogRotation
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.requests import Requests
from shared.messages.maintenance import HealthQuery
from shared.jetstream.objects import JetStreamObjects
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.workflows import StartSystem
from shared.notify.plan import NoticePlan
from shared.runtime.definition import Begin, OwnPart, ServiceDefinition
from shared.runtime.handling import Errand
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import register

NOTICES = NoticePlan(routes={"*": ("mail", "webhook")})
"""Operators hear of everything on every channel that is set up."""


def define(settings: MaintenanceSettings) -> ServiceDefinition:
    """The service under its settings."""
    owners = Owners()
    caches = Caches()
    of_caches = CacheHandlers(caches)
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(),
        rotate_logs=LogRotation(),
        invalidate_cache=CacheInvalidation(caches),
        perform_health_checks=HealthChecks(),
    health = HealthMonitor(settings, owners, NOTICES)
    rotation = LogRotation(settings.log_dir, settings.log_keep_days)
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(),
        rotate_logs=rotation,
        invalidate_cache=CacheInvalidation(),
        perform_health_checks=HealthChecks(health.check),
        process_analytics=Analytics(),
    )
    return ServiceDefinition(
        name="maintenance",
        workflows=[register(StartSystem, system)],
        crons=[Cron("system", StartSystem(), settings.system_cron, settings.system_time_zone)],
        crons_revision=1,
        queries=of_caches.queries(),
        errands=of_caches.errands(),
        events=of_caches.events(),
        begin=beginning(settings, owners, caches),
    )


def beginning(settings: MaintenanceSettings, owners: Owners, caches: Caches) -> Begin:
        inquiries=[Errand("health", HealthQuery, health.health)],
        notices=NOTICES,
        begin=beginning(owners, health),
    )


def beginning(owners: Owners, health: HealthMonitor) -> Begin:
        begin=beginning(settings, owners, rotation),
    )


def beginning(settings: MaintenanceSettings, owners: Owners, rotation: LogRotation) -> Begin:
    """Gives the parts what they stand on, for as long as the service runs."""

    @asynccontextmanager
    async def begin(surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        owners.give(Requests(surroundings.client))
        caches.give(JetStreamCache(surroundings.client, replicas=settings.stream_replicas))
        archive = JetStreamObjects(
            surroundings.client, subjects.LOG_ARCHIVE_BUCKET, replicas=settings.stream_replicas
        )
        rotation.give(Archiver(Path(settings.log_dir), archive, surroundings.pool))
        yield []
        async with health.standing_on(surroundings):
            yield [health]

    return begin
