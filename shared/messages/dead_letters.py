"""Dead letters: what can never be carried out, and what is done about it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.messages.base import Message
from shared.messages.values import NO_NUL, Cursor, Limit

Word = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]


class DeadLettersQuery(Message, frozen=True, kw_only=True):
    """`dead_letters`: newest first; answers DeadLetters."""

    reason: Word | None = None
    subject: Word | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """In business time."""
    include_settled: bool = False
    """Also those that were replayed or discarded."""
    limit: Limit = 20
    cursor: Cursor | None = None
    """`nextCursor` of the page before."""


class ByDeadLetter(Message, frozen=True, kw_only=True):
    """`dead_letter`: answers DeadLetter."""

    id: Cursor


class ReplayDeadLetter(Message, frozen=True, kw_only=True):
    """`replay_dead_letter`: publishes it again, once; answers DeadLetter."""

    id: Cursor


class DiscardDeadLetter(Message, frozen=True, kw_only=True):
    """`discard_dead_letter`: takes it off the list; answers DeadLetter."""

    id: Cursor


class DeadLetterSummary(Message, frozen=True, kw_only=True):
    """A dead letter as lists show it."""

    id: int
    subject: str
    reason: str
    detail: str
    occurred_at: datetime
    settlement: str | None
    """replayed or discarded."""
    settled_at: datetime | None
    settled_by: str | None


class DeadLetters(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    dead_letters: tuple[DeadLetterSummary, ...]
    next_cursor: int | None = None


class DeadLetter(DeadLetterSummary, frozen=True, kw_only=True):
    """A dead letter as it came."""

    origin: str
    headers: dict[str, str]
    body: msgspec.Raw
    """Where it is JSON; else null."""
    body_base64: str | None
    """Where it is not."""
