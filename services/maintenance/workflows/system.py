"""The system's upkeep: five parts, each for itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from shared.messages.maintenance import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    HealthChecked,
    LogsRotated,
    SystemReport,
)
from shared.messages.workflows import ErrorInfo, StartSystem
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import StepFailed

T = TypeVar("T")


Part: TypeAlias = "Callable[[WorkflowContext], Awaitable[T]]"
"""One part of the upkeep, made of the run's own steps and calls. Raises StepFailed for what stays
undone until the next run."""


class SystemMaintenanceWorkflow:
    """Keeps the system in order."""

    kind = "system"

    def __init__(
        self,
        *,
        cleanup_database: Part[DatabaseCleaned],
        rotate_logs: Part[LogsRotated],
        invalidate_cache: Part[CachesInvalidated],
        perform_health_checks: Part[HealthChecked],
        process_analytics: Part[AnalyticsProcessed],
    ) -> None:
        self._cleanup_database = cleanup_database
        self._rotate_logs = rotate_logs
        self._invalidate_cache = invalidate_cache
        self._perform_health_checks = perform_health_checks
        self._process_analytics = process_analytics

    async def run(self, ctx: WorkflowContext, _start: StartSystem) -> SystemReport:
        """The reference's five parts. One that fails is told of, and the next still runs."""
        failures: list[ErrorInfo] = []
        return SystemReport(
            database_cleanup=await isolated(self._cleanup_database(ctx), failures),
            log_rotation=await isolated(self._rotate_logs(ctx), failures),
            cache_invalidation=await isolated(self._invalidate_cache(ctx), failures),
            health_checks=await isolated(self._perform_health_checks(ctx), failures),
            analytics=await isolated(self._process_analytics(ctx), failures),
            failures=tuple(failures),
        )


async def isolated(part: Awaitable[T], failures: list[ErrorInfo]) -> T | None:
    """What the part came to; None, and one failure more, where it failed."""
    try:
        return await part
    except StepFailed as failed:
        failures.append(ErrorInfo(name=failed.name, message=failed.message, step=failed.step))
        return None
