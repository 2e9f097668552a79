"""`/api/health`: how the system's components are."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.maintenance import HealthQuery

TABLE = (Forward("GET", "/api/health", subjects.query("maintenance", "health"), HealthQuery),)
