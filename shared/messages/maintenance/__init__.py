"""Messages of the maintenance service."""

from shared.messages.maintenance.health import (
    ComponentHealth,
    HealthChecked,
    HealthQuery,
    HealthStatus,
)
from shared.messages.maintenance.report import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    LogsRotated,
    SystemReport,
)

__all__ = [
    "AnalyticsProcessed",
    "CachesInvalidated",
    "ComponentHealth",
    "DatabaseCleaned",
    "HealthChecked",
    "HealthQuery",
    "HealthStatus",
    "LogsRotated",
    "SystemReport",
]
