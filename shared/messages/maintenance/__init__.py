"""Messages of the maintenance service."""

from shared.messages.maintenance.analytics import (
    AnalyticsBucket,
    AnalyticsGrain,
    AnalyticsMetric,
    AnalyticsQuery,
    AnalyticsReport,
    AnalyticsSeries,
    AnalyticsUnit,
)
from shared.messages.maintenance.caches import (
    AllCaches,
    CacheName,
    Caches,
    CacheState,
    InvalidateCache,
)
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

SERVICE = "maintenance"

__all__ = [
    "SERVICE",
    "AllCaches",
    "AnalyticsBucket",
    "AnalyticsGrain",
    "AnalyticsMetric",
    "AnalyticsProcessed",
    "AnalyticsQuery",
    "AnalyticsReport",
    "AnalyticsSeries",
    "AnalyticsUnit",
    "CacheName",
    "CacheState",
    "Caches",
    "CachesInvalidated",
    "ComponentHealth",
    "DatabaseCleaned",
    "HealthChecked",
    "HealthQuery",
    "HealthStatus",
    "InvalidateCache",
    "LogsRotated",
    "SystemReport",
]
