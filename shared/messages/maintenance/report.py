"""What a run of the system's upkeep came to."""

from __future__ import annotations

from datetime import datetime

from shared.messages.base import Message
from shared.messages.workflows import ErrorInfo


class PolicyApplied(Message, frozen=True, kw_only=True):
    """What came of a retention policy."""

    owner: str
    name: str
    deleted: int
    done: bool
    """Else the next run goes on."""
    overdue_since: datetime | None = None
    """Of what is left, also where it waits for analytics or is held."""


class DatabaseCleaned(Message, frozen=True, kw_only=True):
    """What the retention policies came to."""

    policies: tuple[PolicyApplied, ...] = ()
    """Those that were applied."""
    skipped_tables: tuple[str, ...] = ()
    """As `owner.table`: not vacuumed, since somebody held them."""
    failures: tuple[ErrorInfo, ...] = ()


class LogsRotated(Message, frozen=True, kw_only=True):
    """`log_rotation`."""


class CachesInvalidated(Message, frozen=True, kw_only=True):
    """`cache_invalidation`."""


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
