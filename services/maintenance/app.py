"""What the maintenance service is made of."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from services.maintenance.backlog import Backlog
from services.maintenance.config import MaintenanceSettings
from services.maintenance.handlers import retention
from services.maintenance.owners import Owners
from services.maintenance.workflows.analytics import Analytics
from services.maintenance.workflows.cache import CacheInvalidation
from services.maintenance.workflows.database import DatabaseCleanup
from services.maintenance.workflows.health import HealthChecks
from services.maintenance.workflows.logs import LogRotation
from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.jetstream.requests import Requests
from shared.messages.workflows import StartSystem
from shared.runtime.definition import Begin, OwnPart, ServiceDefinition
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.ports import Connection
from shared.workflow.registry import register


def define(settings: MaintenanceSettings) -> ServiceDefinition:
    """The service under its settings."""
    owners = Owners()
    system = SystemMaintenanceWorkflow(
        cleanup_database=DatabaseCleanup(owners, never_closed),
        rotate_logs=LogRotation(),
        invalidate_cache=CacheInvalidation(),
        perform_health_checks=HealthChecks(),
        process_analytics=Analytics(),
    )
    return ServiceDefinition(
        name="maintenance",
        workflows=[register(StartSystem, system)],
        commands=retention.COMMANDS,
        queries=retention.QUERIES,
        crons=[Cron("system", StartSystem(), settings.system_cron, settings.system_time_zone)],
        crons_revision=1,
        begin=beginning(owners),
    )


async def never_closed(_connection: Connection) -> None:
    """No analytics have run."""


def beginning(owners: Owners) -> Begin:
    """Gives the parts what they stand on, for as long as the service runs."""

    @asynccontextmanager
    async def begin(surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
        owners.give(Requests(surroundings.client))
        yield [Backlog(surroundings.pool, surroundings.clock)]

    return begin
