"""Facts from games, on `ingest.player.<name>`; the gateway sends the same as commands."""

from __future__ import annotations

from uuid import UUID

from shared.messages.base import Message
from shared.messages.player.values import (
    DEFAULT_DIFFICULTY,
    ActivityName,
    Count,
    MessageText,
    SessionStatus,
)
from shared.messages.values import Instant, Name, SourceId


class LoggedIn(Message, frozen=True, kw_only=True):
    """`login`: the player came in; starts the player's run of that reward day. Answers Player."""

    player_id: UUID
    at: Instant | None = None
    """When it happened; the service's own instant where it is left out."""


class SessionReported(Message, frozen=True, kw_only=True):
    """`session`: a game session began or ended. Answers Session.

    Repeats and late arrivals change nothing twice: `completed` is final, and `abandoned` gives way
    to it alone. A session that began earlier than was known is the longer for it.
    """

    session_id: UUID
    player_id: UUID | None = None
    """None for a guest's session, which is deleted after 24 hours; of a session that is known, its
    player need not be named again."""
    status: SessionStatus = "completed"
    difficulty: Name = DEFAULT_DIFFICULTY
    started_at: Instant | None = None
    """Play time counts from here; left out, from the earliest report of the session."""
    ended_at: Instant | None = None
    score: Count = 0
    correct: Count = 0
    answered: Count = 0
    best_streak: Count = 0


class MessageSent(Message, frozen=True, kw_only=True):
    """`message`: the player wrote in a chat. Answers Progress."""

    message_id: UUID
    player_id: UUID
    text: MessageText = ""
    at: Instant | None = None


class ActivityReported(Message, frozen=True, kw_only=True):
    """`activity`: something else that earns experience, once per source id. Answers Progress."""

    player_id: UUID
    event: ActivityName
    source_id: SourceId
    at: Instant | None = None
