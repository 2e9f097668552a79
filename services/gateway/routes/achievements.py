"""`/api/achievements`."""

from __future__ import annotations

from functools import partial

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.player import SERVICE, CreateAchievement, Everything, UpdateAchievement

ALL = "/api/achievements"
ONE = f"{ALL}/{{id}}"

command = partial(subjects.command, SERVICE)
row = partial(Forward, cache="achievements")

TABLE = (
    row("GET", ALL, subjects.query(SERVICE, "achievements"), Everything),
    row("POST", ALL, command("create_achievement"), CreateAchievement, 201),
    row("PATCH", ONE, command("update_achievement"), UpdateAchievement),
)
