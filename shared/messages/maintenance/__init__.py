"""Messages of the maintenance service."""

from shared.messages.maintenance.caches import (
    AllCaches,
    CacheName,
    Caches,
    CacheState,
    InvalidateCache,
)
from shared.messages.maintenance.report import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    HealthChecked,
    LogsRotated,
    SystemReport,
)

SERVICE = "maintenance"

__all__ = [
    "SERVICE",
    "AllCaches",
    "AnalyticsProcessed",
    "CacheName",
    "CacheState",
    "Caches",
    "CachesInvalidated",
    "DatabaseCleaned",
    "HealthChecked",
    "InvalidateCache",
    "LogsRotated",
    "SystemReport",
]
