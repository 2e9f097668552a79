"""`/api/invariants`: what must never be, in every service."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.maintenance import CheckInvariants, InvariantResultsQuery

SERVICE = "maintenance"

TABLE = (
    Forward(
        "GET",
        "/api/invariants",
        subjects.query(SERVICE, "invariant_results"),
        InvariantResultsQuery,
    ),
    Forward(
        "POST",
        "/api/invariants/check",
        subjects.command(SERVICE, "check_invariants"),
        CheckInvariants,
        202,
    ),
)
