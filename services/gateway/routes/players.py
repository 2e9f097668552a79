"""`/api/players`."""

from __future__ import annotations

from functools import partial

from services.gateway.routes.forwarding import Forward
from shared.messages import subjects
from shared.messages.player import (
    SERVICE,
    AcknowledgeNotification,
    ActivityReported,
    ByPlayer,
    CreatePlayer,
    Grant,
    LoggedIn,
    MessageSent,
    PageOfPlayer,
    Revoke,
    Spend,
    UpdatePlayer,
)

command = partial(subjects.command, SERVICE)
query = partial(subjects.query, SERVICE)

PLAYER = "/api/players/{playerId}"

TABLE = (
    Forward("POST", "/api/players", command("create_player"), CreatePlayer, 201),
    Forward("GET", PLAYER, query("player"), ByPlayer),
    Forward("PATCH", PLAYER, command("update_player"), UpdatePlayer),
    Forward("GET", f"{PLAYER}/progress", query("progress"), ByPlayer),
    Forward("GET", f"{PLAYER}/inventory", query("inventory"), ByPlayer),
    Forward("GET", f"{PLAYER}/xp", query("xp_history"), PageOfPlayer),
    Forward("GET", f"{PLAYER}/sessions", query("sessions"), PageOfPlayer),
    Forward("GET", f"{PLAYER}/notifications", query("notifications"), PageOfPlayer),
    Forward(
        "POST",
        f"{PLAYER}/notifications/{{notificationId}}/acknowledge",
        command("acknowledge_notification"),
        AcknowledgeNotification,
    ),
    Forward("POST", f"{PLAYER}/logins", command("login"), LoggedIn, 201),
    Forward("POST", f"{PLAYER}/messages", command("message"), MessageSent, 201, "messageId"),
    Forward("POST", f"{PLAYER}/activities", command("activity"), ActivityReported, 201),
    Forward("POST", f"{PLAYER}/spend", command("spend"), Spend),
    Forward("POST", f"{PLAYER}/grants", command("grant"), Grant),
    Forward("POST", f"{PLAYER}/revocations", command("revoke"), Revoke),
)
