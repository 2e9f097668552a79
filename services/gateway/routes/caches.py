"""`/api/caches`."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.maintenance import SERVICE, AllCaches, InvalidateCache

TABLE = (
    Forward("GET", "/api/caches", subjects.query(SERVICE, "caches"), AllCaches),
    Forward(
        "POST",
        "/api/caches/{namespace}/invalidate",
        subjects.command(SERVICE, "invalidate_cache"),
        InvalidateCache,
    ),
)
