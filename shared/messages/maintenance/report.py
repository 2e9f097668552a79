"""What a run of the system's upkeep came to."""

from __future__ import annotations

from msgspec import field

from shared.messages.base import Message
from shared.messages.workflows import ErrorInfo


class DatabaseCleaned(Message, frozen=True, kw_only=True):
    """`database_cleanup`."""


class LogsRotated(Message, frozen=True, kw_only=True):
    """`log_rotation`."""


class CachesInvalidated(Message, frozen=True, kw_only=True):
    """`cache_invalidation`."""

    removed: dict[str, int] = field(default_factory=dict[str, int])
    """How many entries, by namespace: those of generations that nobody reads any more."""


class HealthChecked(Message, frozen=True, kw_only=True):
    """`health_checks`."""


class AnalyticsProcessed(Message, frozen=True, kw_only=True):
    """`analytics`."""


class SystemReport(Message, frozen=True, kw_only=True):
    """Output of a `system` workflow; a part that failed is None and named among the failures."""

    database_cleanup: DatabaseCleaned | None
    log_rotation: LogsRotated | None
    cache_invalidation: CachesInvalidated | None
    health_checks: HealthChecked | None
    analytics: AnalyticsProcessed | None
    failures: tuple[ErrorInfo, ...] = ()
