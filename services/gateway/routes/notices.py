"""`/api/notices`: those of the service that the query names."""

from __future__ import annotations

from services.gateway.routes.forwarding import ANY_SERVICE, Forward
from shared.messages import subjects
from shared.messages.notices import AcknowledgeNotice, NoticesQuery

TABLE = (
    Forward("GET", "/api/notices", subjects.query(ANY_SERVICE, "notices"), NoticesQuery),
    Forward(
        "POST",
        "/api/notices/{noticeId}/acknowledge",
        subjects.command(ANY_SERVICE, "acknowledge_notice"),
        AcknowledgeNotice,
    ),
)
