"""`/api/health`: how the system's components are; and the description of the probes."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from services.gateway.routes.operations import Operation
from shared.messages import subjects
from shared.messages.maintenance import HealthQuery
from shared.runtime.health import Health

MEDIA_TYPE = "application/health+json"

OPERATIONS = (
    Operation("GET", "/healthz", "The process lives", Health, is_open=True, media_type=MEDIA_TYPE),
    Operation("GET", "/startupz", "It has started", Health, is_open=True, media_type=MEDIA_TYPE),
    Operation(
        "GET",
        "/readyz",
        "It can serve; 503 says what is away",
        Health,
        is_open=True,
        media_type=MEDIA_TYPE,
    ),
    Operation("GET", "/metrics", "Prometheus", str, is_open=True, media_type="text/plain"),
)

TABLE = (Forward("GET", "/api/health", subjects.query("maintenance", "health"), HealthQuery),)
