"""Messages of the maintenance service."""

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
from shared.messages.maintenance.invariants import (
    BrokenInvariant,
    CheckInvariants,
    InvariantResults,
    InvariantResultsQuery,
    ServiceInvariants,
    StatusesCompared,
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
    "AnalyticsProcessed",
    "BrokenInvariant",
    "CacheName",
    "CacheState",
    "Caches",
    "CachesInvalidated",
    "CheckInvariants",
    "ComponentHealth",
    "DatabaseCleaned",
    "HealthChecked",
    "HealthQuery",
    "HealthStatus",
    "InvalidateCache",
    "InvariantResults",
    "InvariantResultsQuery",
    "LogsRotated",
    "ServiceInvariants",
    "StatusesCompared",
    "SystemReport",
]
