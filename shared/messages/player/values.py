"""What fields of the player's messages may hold: bounds that keep every sum within 64 bits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.values import NO_NUL

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Amount = Annotated[int, Meta(ge=0, le=10**9)]
"""Of one grant. A level is worth a row in the ledger, and 10^9 xp are 3,163 levels."""
Threshold = Annotated[int, Meta(ge=1, le=10**12)]

AchievementId = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
ItemName = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=100)]
MessageText = Annotated[str, Meta(pattern=NO_NUL, max_length=4000)]
Text = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=500)]

AchievementType = Literal["level", "experience", "sessions", "streak", "accuracy"]
ActivityName = Literal["npc_interaction", "create_npc", "lobby_participation"]
SessionStatus = Literal["active", "abandoned", "completed"]

DEFAULT_DIFFICULTY = "normal"
