"""How long a service keeps what it owns: requests on `commands.<service>.<name>`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from shared.messages.base import Message
from shared.messages.values import Instant

MAX_KEEP_SECONDS = 100 * 365 * 86_400

DatasetName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z")]
KeepSeconds = Annotated[int, Meta(ge=3600, le=MAX_KEEP_SECONDS)]


class ApplyRetention(Message, frozen=True, kw_only=True):
    """`apply_retention`: takes away what is strictly older. Answers RetentionApplied."""

    name: DatasetName
    keep_seconds: KeepSeconds
    not_after: Instant | None = None
    """Nothing from then on is taken, however old."""
    budget_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Machine time; one batch is always done."""


class RetentionApplied(Message, frozen=True, kw_only=True):
    """What was taken away, and what is left."""

    deleted: int
    done: bool
    """Whether nothing is left that may go and that nobody holds."""
    overdue_since: datetime | None = None
    """When the oldest that is left had been kept long enough, also if it may not go yet."""


class Vacuum(Message, frozen=True, kw_only=True):
    """`vacuum`: gives the room of deleted rows back to the service's tables. Answers Vacuumed."""


class Vacuumed(Message, frozen=True, kw_only=True):
    """Tables by what became of them; others had nothing to give back."""

    tables: tuple[str, ...]
    skipped: tuple[str, ...]
    """Somebody held them: the next one takes them."""
