"""`/api/sessions`."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.player import SERVICE, BySession, SessionReported

SESSION = "/api/sessions/{sessionId}"
REPORT = subjects.command(SERVICE, "session")

TABLE = (
    Forward("POST", "/api/sessions", REPORT, SessionReported, 201, "sessionId"),
    Forward("GET", SESSION, subjects.query(SERVICE, "session"), BySession),
    Forward("PATCH", SESSION, REPORT, SessionReported),
)
