"""The description of `/healthz`, `/startupz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from services.gateway.routes.operations import Operation
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
