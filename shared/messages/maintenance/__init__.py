"""Messages of the maintenance service."""

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
    HealthChecked,
    LogsRotated,
    SystemReport,
)

__all__ = [
    "AnalyticsProcessed",
    "BrokenInvariant",
    "CachesInvalidated",
    "CheckInvariants",
    "DatabaseCleaned",
    "HealthChecked",
    "InvariantResults",
    "InvariantResultsQuery",
    "LogsRotated",
    "ServiceInvariants",
    "StatusesCompared",
    "SystemReport",
]
