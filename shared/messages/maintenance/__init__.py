"""Messages of the maintenance service."""

from shared.messages.maintenance.report import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    HealthChecked,
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

__all__ = [
    "AllRetention",
    "AnalyticsProcessed",
    "CachesInvalidated",
    "DatabaseCleaned",
    "HealthChecked",
    "LogsRotated",
    "PolicyApplied",
    "RetentionPolicies",
    "RetentionPolicy",
    "SetRetention",
    "SystemReport",
]
