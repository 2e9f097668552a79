"""Whether a service can work, as it says itself."""

from __future__ import annotations

from typing import Literal

from shared.messages.base import Message


class ReadinessQuery(Message, frozen=True, kw_only=True):
    """`readiness`: answers Readiness, also while PostgreSQL is away."""


class Readiness(Message, frozen=True, kw_only=True):
    """Of the replica that answers."""

    version: str
    """Of the build."""
    postgresql: Literal["pass", "fail"]
    """Whether the service's own database answers."""
    postgresql_server: str | None = None
    """What tells one PostgreSQL server from another; None while it is away."""
