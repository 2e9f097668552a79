"""What the maintenance service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.maintenance.archive.archiver import Archiver
from services.maintenance.backlog import Backlog
from services.maintenance.caches import Caches
from services.maintenance.config import MaintenanceSettings
from services.maintenance.handlers import analytics, invariants, persons, retention
from services.maintenance.handlers.caches import CacheHandlers
from services.maintenance.health.monitor import HealthMonitor
from services.maintenance.owners import Owners
from services.maintenance.persons import Documents, PersonOwners
from services.maintenance.rollups import Rollups
from services.maintenance.store.analytics import closed_until
from services.maintenance.watch import InvariantWatch
from services.maintenance.workflows.analytics import Analytics
from services.maintenance.workflows.cache import CacheInvalidation
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.health import HealthChecks
from services.maintenance.workflows.logs import LogRotation
from services.maintenance.workflows.person_erasure import PersonErasureWorkflow
from services.maintenance.workflows.person_export import PersonExportWorkflow
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.jetstream.backlog import caught_up
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.connection import jetstream
from shared.jetstream.objects import JetStreamObjects
from shared.jetstream.requests import Requests
from shared.jetstream.topology import kinds_by_service
from shared.messages import subjects
from shared.messages.maintenance import HealthQuery
from shared.messages.workflows import StartPersonErasure, StartPersonExport, StartSystem
from shared.notify.plan import NoticePlan
from shared.runtime.definition import OwnPart, ServiceDefinition
from shared.runtime.handling import Errand
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import register

NOTICES = NoticePlan(routes={"*": ("mail", "webhook")})
"""Operators hear of everything on every channel that is set up."""


def define(settings: MaintenanceSettings) -> ServiceDefinition:
    """The service under its settings."""
    owners = Owners()
    rooms = Rooms(
        settings=settings,
        owners=owners,
        health=HealthMonitor(settings, owners, NOTICES),
        rotation=LogRotation(settings.log_dir, settings.log_keep_days),
    )
    of_caches = CacheHandlers(rooms.caches)
    of_persons = PersonOwners(owners)
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(owners, closed_until),
        rotate_logs=rooms.rotation,
        invalidate_cache=CacheInvalidation(rooms.caches),
        perform_health_checks=HealthChecks(rooms.health.check),
        process_analytics=rooms.analytics,
    )
    return ServiceDefinition(
        name="maintenance",
        workflows=[
            register(StartSystem, system),
            register(StartPersonExport, PersonExportWorkflow(of_persons, rooms.exports)),
            register(StartPersonErasure, PersonErasureWorkflow(of_persons, rooms.exports)),
        ],
        commands=[*invariants.COMMANDS, *retention.COMMANDS],
        queries=[
            *of_caches.queries(),
            *analytics.QUERIES,
            *invariants.QUERIES,
            *persons.QUERIES,
            *retention.QUERIES,
        ],
        errands=of_caches.errands(),
        events=[*of_caches.events(), *analytics.EVENTS],
        inquiries=[Errand("health", HealthQuery, rooms.health.health)],
        crons=[Cron("system", StartSystem(), settings.system_cron, settings.system_time_zone)],
        crons_revision=1,
        notices=NOTICES,
        begin=rooms.begin,
    )


@dataclass(frozen=True)
class Rooms:
    """What workflows are made with before there is a NATS or a database."""

    settings: MaintenanceSettings
    owners: Owners
    health: HealthMonitor
    rotation: LogRotation
    caches: Caches = field(default_factory=Caches)
    exports: Documents = field(default_factory=Documents)
    analytics: Analytics = field(default_factory=Analytics)

    @asynccontextmanager
    async def begin(self, surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        """Gives each what it stands on, for as long as the service runs."""
        client, replicas = surroundings.client, self.settings.stream_replicas
        self.owners.give(Requests(client))
        self.caches.give(JetStreamCache(client, replicas=replicas))
        archive = JetStreamObjects(client, subjects.LOG_ARCHIVE_BUCKET, replicas=replicas)
        self.rotation.give(Archiver(Path(self.settings.log_dir), archive, surroundings.pool))
        exports = JetStreamObjects(client, subjects.PERSON_EXPORTS_BUCKET, replicas=replicas)
        self.exports.give(exports)
        rollups = self._rollups(surroundings)
        self.analytics.give(rollups)
        async with self.health.standing_on(surroundings):
            backlog = Backlog(surroundings.pool, surroundings.clock)
            yield [self.health, rollups, self._watch(surroundings), backlog]

    def _watch(self, surroundings: Surroundings) -> InvariantWatch:
        return InvariantWatch(
            surroundings.pool,
            surroundings.clock,
            self.owners,
            kinds_by_service(),
            interval_seconds=self.settings.invariants_seconds,
        )

    def _rollups(self, surroundings: Surroundings) -> Rollups:
        consumer = subjects.events_consumer("maintenance")
        return Rollups(
            surroundings.pool,
            surroundings.clock,
            partial(caught_up, jetstream(surroundings.client), subjects.EVENTS_STREAM, consumer),
            interval_seconds=self.settings.rollup_seconds,
        )
