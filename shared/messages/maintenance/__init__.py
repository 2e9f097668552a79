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
from shared.messages.maintenance.report import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    HealthChecked,
    LogsRotated,
    SystemReport,
)

__all__ = [
    "AnalyticsBucket",
    "AnalyticsGrain",
    "AnalyticsMetric",
    "AnalyticsProcessed",
    "AnalyticsQuery",
    "AnalyticsReport",
    "AnalyticsSeries",
    "AnalyticsUnit",
    "CachesInvalidated",
    "DatabaseCleaned",
    "HealthChecked",
    "LogsRotated",
    "SystemReport",
]
