"""Notices: what somebody is told, once, and what became of telling them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.messages.base import Message
from shared.messages.values import NO_NUL, Cursor, Limit

OPERATORS = "operators"
"""The recipient of what concerns those who run the system."""

NoticeName = Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
Recipient = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]
NoticeKey = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=200)]
LetterState = Literal["pending", "sent", "failed"]


class Notice(Message, frozen=True, kw_only=True):
    """What is told to whom. It holds ids and facts, no address: that stays in its owner's table."""

    name: NoticeName
    """Such as `payment_failed`."""
    recipient: Recipient
    """The id of a player or customer, or OPERATORS."""
    key: NoticeKey
    """The cause's own id: of one name and key there is one notice."""
    data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Facts, as JSON."""


class NoticeLetter(Message, frozen=True, kw_only=True):
    """What became of a notice on one channel, in machine time."""

    channel: str
    state: LetterState
    attempts: int
    next_attempt_at: datetime | None
    sent_at: datetime | None
    error: str | None


class PostedNotice(Message, frozen=True, kw_only=True):
    """A notice as the table has it."""

    id: int
    name: str
    recipient: str
    key: str
    data: msgspec.Raw
    created_at: datetime
    acknowledged_at: datetime | None
    letters: tuple[NoticeLetter, ...]
    """One for each channel besides the table itself."""


class Notices(Message, frozen=True, kw_only=True):
    """A page, newest first."""

    notices: tuple[PostedNotice, ...]
    next_cursor: int | None = None


class NoticesQuery(Message, frozen=True, kw_only=True):
    """`notices`: newest first; answers Notices."""

    recipient: Recipient | None = None
    name: NoticeName | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    limit: Limit = 20
    cursor: Cursor | None = None
    """`nextCursor` of the page before."""


class AcknowledgeNotice(Message, frozen=True, kw_only=True):
    """`acknowledge_notice`: marks it as read; answers PostedNotice."""

    notice_id: Cursor


class NoticeSent(Message, frozen=True, kw_only=True):
    """The body of an outgoing webhook."""

    id: str
    """The same on every repetition; also the header Webhook-Id."""
    service: str
    name: str
    recipient: str
    key: str
    data: dict[str, Any]
    created_at: datetime
