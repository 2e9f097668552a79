"""What the maintenance service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from services.maintenance.caches import Caches
from services.maintenance.config import MaintenanceSettings
from services.maintenance.handlers.caches import CacheHandlers
from services.maintenance.handlers.persons import QUERIES
from services.maintenance.owners import Owners
from services.maintenance.persons import Documents, PersonOwners
from services.maintenance.workflows.analytics import Analytics
from services.maintenance.workflows.cache import CacheInvalidation
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.health import HealthChecks
from services.maintenance.workflows.logs import LogRotation
from services.maintenance.workflows.person_erasure import PersonErasureWorkflow
from services.maintenance.workflows.person_export import PersonExportWorkflow
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.objects import JetStreamObjects
from shared.jetstream.requests import Requests
from shared.messages import subjects
from shared.messages.workflows import StartPersonErasure, StartPersonExport, StartSystem
from shared.runtime.definition import Begin, OwnPart, ServiceDefinition
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import register


def define(settings: MaintenanceSettings) -> ServiceDefinition:
    """The service under its settings."""
    owners, documents = Owners(), Documents()
    persons = PersonOwners(owners)
    caches = Caches()
    of_caches = CacheHandlers(caches)
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(),
        rotate_logs=LogRotation(),
        invalidate_cache=CacheInvalidation(caches),
        perform_health_checks=HealthChecks(),
        process_analytics=Analytics(),
    )
    return ServiceDefinition(
        name="maintenance",
        workflows=[
            register(StartSystem, system),
            register(StartPersonExport, PersonExportWorkflow(persons, documents)),
            register(StartPersonErasure, PersonErasureWorkflow(persons, documents)),
        ],
        crons=[Cron("system", StartSystem(), settings.system_cron, settings.system_time_zone)],
        crons_revision=1,
        queries=(*of_caches.queries(), *QUERIES),
        errands=of_caches.errands(),
        events=of_caches.events(),
        begin=beginning(settings, owners, caches, documents),
    )


def beginning(
    settings: MaintenanceSettings, owners: Owners, caches: Caches, documents: Documents
) -> Begin:
    """Gives the parts what they stand on, for as long as the service runs."""

    @asynccontextmanager
    async def begin(surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        owners.give(Requests(surroundings.client))
        caches.give(JetStreamCache(surroundings.client, replicas=settings.stream_replicas))
        client, bucket = surroundings.client, subjects.PERSON_EXPORTS_BUCKET
        documents.give(JetStreamObjects(client, bucket, replicas=settings.stream_replicas))
        yield []

    return begin
