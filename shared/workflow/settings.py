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
    call_timeout_seconds: float = 30.0
    """Time-out of a call whose options name none: somebody may have to wait for it (rule 18)."""
    call_grace_seconds: float = 5.0
    """How long after its time-out a call may still arrive where it was sent."""
    branch_connections: int = 8
    """Steps of branches that may be open at once in a process: the step pool has as many more."""
    solitary_claims: int = 3
    """Claims without progress after which an instance runs alone in its process (rule 23)."""
    solitary_wait_seconds: float = 10.0
    """How long such an instance waits for the others to leave before it gives its message back."""
    poison_claims: int = 10
    """Claims without progress after which an instance ends errored."""
