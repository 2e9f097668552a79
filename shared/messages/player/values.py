"""What fields of the player's messages may hold: bounds that keep every sum within 64 bits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.values import NO_NUL

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Amount = Annotated[int, Meta(ge=0, le=10**9)]
"""Of one grant. A level is worth a row in the ledger, and 10^9 xp are 3,163 levels."""
Threshold = Annotated[int, Meta(ge=1, le=10**12)]

Instant = Annotated[datetime, Meta(tz=True)]
"""With a UTC offset. One later than the service's own instant is taken as that."""

AchievementId = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
Email = Annotated[str, Meta(pattern=r"^[^@\s\x00]+@[^@\s\x00]+\Z", max_length=320)]
ItemName = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=100)]
MessageText = Annotated[str, Meta(pattern=NO_NUL, max_length=4000)]
Name = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=100)]
SourceId = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]
Text = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=500)]
ZoneName = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=64)]
"""A name of the IANA time zone database, such as Europe/Berlin."""

AchievementType = Literal["level", "experience", "sessions", "streak", "accuracy"]
ActivityName = Literal["npc_interaction", "create_npc", "lobby_participation"]
SessionStatus = Literal["active", "abandoned", "completed"]

DEFAULT_DIFFICULTY = "normal"
