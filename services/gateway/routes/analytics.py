"""`/api/analytics`: what the services' facts add up to."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.maintenance import AnalyticsQuery

TABLE = (
    Forward("GET", "/api/analytics", subjects.query("maintenance", "analytics"), AnalyticsQuery),
)
