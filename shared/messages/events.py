"""Facts that services publish on `events.<service>.<name>`; consumers dedupe by their id."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from shared.messages.base import Message


class Event(Message, frozen=True, kw_only=True):
    """Base of all facts; a subclass says its name on the wire."""

    name: ClassVar[str]


class WorkflowReference(Message, frozen=True, kw_only=True):
    """The instance whose step published the fact."""

    kind: str
    id: str
    run: int


class EventEnvelope(Message, frozen=True, kw_only=True):
    """A fact as it travels."""

    id: str
    """The same on every delivery of this fact; also its Nats-Msg-Id."""
    name: str
    occurred_at: datetime
    data: msgspec.Raw
    workflow: WorkflowReference | None = None
    sequence: int | None = None
    """Counts the facts of one instance from 1; there is no order between instances."""
