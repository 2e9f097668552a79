"""`/api/retention`: how long what is kept."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.maintenance.retention import AllRetention, SetRetention

TABLE = (
    Forward("GET", "/api/retention", subjects.query("maintenance", "retention"), AllRetention),
    Forward(
        "PUT",
        "/api/retention/{owner}/{name}",
        subjects.command("maintenance", "set_retention"),
        SetRetention,
    ),
)
