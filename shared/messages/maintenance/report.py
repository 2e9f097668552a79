"""What a run of the system's upkeep came to."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from shared.messages.base import Message
from shared.messages.maintenance.health import HealthChecked
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
    """`log_rotation`: log segments that went from LOG_DIR into the archive."""

    archived: int = 0
    bytes: int = 0
    """Of their files, before compression."""
    failed: int = 0
    """Segments that stay in LOG_DIR until the next run; the log says why."""
    note: str | None = None
    """Why there was nothing to do."""


class CachesInvalidated(Message, frozen=True, kw_only=True):
    """`cache_invalidation`."""

    removed: dict[str, int] = field(default_factory=dict[str, int])
    """How many entries, by namespace: those of generations that nobody reads any more."""


class AnalyticsProcessed(Message, frozen=True, kw_only=True):
    """`analytics`."""

    buckets: int = 0
    """Hours and days whose numbers were made anew."""
    closed_until: datetime | None = None
    """Days before it are complete; None: no day is yet."""


class SystemReport(Message, frozen=True, kw_only=True):
    """Output of a `system` workflow; a part that failed is None and named among the failures."""

    database_cleanup: DatabaseCleaned | None
    log_rotation: LogsRotated | None
    cache_invalidation: CachesInvalidated | None
    health_checks: HealthChecked | None
    analytics: AnalyticsProcessed | None
    failures: tuple[ErrorInfo, ...] = ()
