"""Messages of the maintenance service."""

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
    "CachesInvalidated",
    "DatabaseCleaned",
    "HealthChecked",
    "LogsRotated",
    "SystemReport",
]
