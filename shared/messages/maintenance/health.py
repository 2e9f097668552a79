"""How the system's components are."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.messages.base import Message

HealthStatus = Literal["pass", "warn", "fail"]


class ComponentHealth(Message, frozen=True, kw_only=True):
    """What one check found, in machine time."""

    component: str
    """Such as `jetstream`, `bucket:workflow-status` or `service:player`."""
    status: HealthStatus
    detail: str | None = None
    cause: str | None = None
    """The failing component that this one stands on, and for whose sake it is not alerted."""
    seconds: float
    """How long the check took."""
    checked_at: datetime
    since: datetime
    """When the status became what it is, as far as the replica that answers has seen."""


class HealthChecked(Message, frozen=True, kw_only=True):
    """`health_checks`; the worst status, and each component's."""

    status: HealthStatus = "pass"
    components: tuple[ComponentHealth, ...] = ()


class HealthQuery(Message, frozen=True, kw_only=True):
    """`health`: answers HealthChecked, as of the last look; also while PostgreSQL is away."""
