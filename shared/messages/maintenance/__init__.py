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
    PolicyApplied,
    SystemReport,
)
from shared.messages.maintenance.retention import (
    AllRetention,
    RetentionPolicies,
    RetentionPolicy,
    SetRetention,
)

SERVICE = "maintenance"

__all__ = [
    "SERVICE",
    "AllCaches",
    "AllRetention",
    "AnalyticsBucket",
    "AnalyticsGrain",
    "AnalyticsMetric",
    "AnalyticsProcessed",
    "AnalyticsQuery",
    "AnalyticsReport",
    "AnalyticsSeries",
    "AnalyticsUnit",
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
    "PolicyApplied",
    "RetentionPolicies",
    "RetentionPolicy",
    "ServiceInvariants",
    "SetRetention",
    "StatusesCompared",
    "SystemReport",
]
