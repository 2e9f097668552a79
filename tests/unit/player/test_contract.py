"""What the player's messages refuse, with the field named."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from shared.messages.base import Message
from shared.messages.player import (
    CreateAchievement,
    CreatePlayer,
    Grant,
    LoggedIn,
    MessageSent,
    PageOfPlayer,
    SessionReported,
)

ID = str(uuid4())


@pytest.mark.rule("player-achievements")
@pytest.mark.parametrize(
    ("message", "body", "field"),
    [
        (CreateAchievement, {"id": "a", "name": "A", "type": "charisma", "threshold": 1}, "type"),
        (CreateAchievement, {"id": "A b", "name": "A", "type": "level", "threshold": 1}, "id"),
        (CreateAchievement, {"id": "a", "name": "A", "type": "level", "threshold": 0}, "threshold"),
        (CreatePlayer, {"email": "nobody"}, "email"),
        (CreatePlayer, {"externalId": "a\u0000b"}, "externalId"),
        (CreatePlayer, {"opening": {"xp": -1}}, "opening.xp"),
        (Grant, {"playerId": ID, "key": "k", "reason": "r", "xp": 10**9 + 1}, "xp"),
        (Grant, {"playerId": ID, "key": "k", "reason": "r", "items": [""]}, "items[...]"),
        (LoggedIn, {"playerId": "one"}, "playerId"),
        (LoggedIn, {"playerId": ID, "at": "2026-03-01T12:00:00"}, "at"),
        (MessageSent, {"playerId": ID, "messageId": ID, "text": "a\u0000b"}, "text"),
        (PageOfPlayer, {"playerId": ID, "cursor": 2**63}, "cursor"),
        (SessionReported, {"sessionId": ID, "score": -1}, "score"),
        (SessionReported, {"sessionId": ID, "status": "won"}, "status"),
    ],
)
def test_what_could_not_be_stored_is_refused_where_it_comes_in(
    message: type[Message], body: dict[str, object], field: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"`\$\.{field}`".replace("[...]", ".*")):
        msgspec.json.decode(msgspec.json.encode(body), type=message)
