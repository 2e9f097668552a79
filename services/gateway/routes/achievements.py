"""`/api/achievements`."""

from __future__ import annotations

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.player import SERVICE, CreateAchievement, Everything, UpdateAchievement

ALL = "/api/achievements"

TABLE = (
    Forward("GET", ALL, subjects.query(SERVICE, "achievements"), Everything),
    Forward("POST", ALL, subjects.command(SERVICE, "create_achievement"), CreateAchievement, 201),
    Forward(
        "PATCH", f"{ALL}/{{id}}", subjects.command(SERVICE, "update_achievement"), UpdateAchievement
    ),
)
