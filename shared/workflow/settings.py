"""Bounds of the engine."""

from __future__ import annotations

import msgspec


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All in machine time."""

    lease_seconds: float = 30.0
    segment_seconds: float = 0.05
    """A segment older than this commits at the next step boundary and goes on unfused."""
    longest_nak_seconds: float = 30.0
    """Retries further away than this park instead of holding the delivery."""
    nak_grace_seconds: float = 5.0
    """How long after a retry by redelivery the timekeeper steps in for it."""
    poison_claims: int = 10
    """Claims without progress after which an instance ends errored."""
