"""Instances as lists show them, and the timeline of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.base import Message, WorkflowId
from shared.messages.values import NO_NUL, Instant, Limit
from shared.messages.workflows import ErrorInfo, Status

LISTED = (
    Status.RUNNING,
    Status.WAITING,
    Status.PAUSED,
    Status.COMPLETE,
    Status.ERRORED,
    Status.TERMINATED,
)
"""Statuses that a journal can have. The others are known to the status bucket alone."""

ListedStatus = Literal["running", "waiting", "paused", "complete", "errored", "terminated"]

Run = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Kind = Annotated[str, Meta(pattern=NO_NUL, min_length=1, max_length=64)]


class InstancePosition(Message, frozen=True, kw_only=True):
    """Where a page ended: its last instance."""

    created_at: Instant
    id: WorkflowId
    kind: Kind


class InstancesQuery(Message, frozen=True, kw_only=True):
    """`instances`: newest first; answers Instances."""

    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1, max_length=100)]
    statuses: tuple[ListedStatus, ...] = ()
    """All where there is none."""
    since: Instant | None = None
    """Of `createdAt`, in business time."""
    limit: Limit = 20
    after: InstancePosition | None = None
    """`next` of the page before."""


class InstanceSummary(Message, frozen=True, kw_only=True):
    """An instance without its steps and its output."""

    workflow_id: str
    kind: str
    status: Status
    created_at: datetime
    updated_at: datetime
    started_at: datetime
    finished_at: datetime | None
    wake_at: datetime | None
    error: ErrorInfo | None
    rollback: str | None

    @property
    def position(self) -> InstancePosition:
        """Its place in the list: what was created last stands first, then the greatest id."""
        return InstancePosition(created_at=self.created_at, id=self.workflow_id, kind=self.kind)

    @property
    def rank(self) -> tuple[datetime, str, str]:
        """What lists are ordered by."""
        return (self.created_at, self.workflow_id, self.kind)


class Instances(Message, frozen=True, kw_only=True):
    """A page of one service, newest first."""

    instances: tuple[InstanceSummary, ...]
    next: InstancePosition | None = None


class WorkflowPage(Message, frozen=True, kw_only=True):
    """A page of all services that were asked, newest first."""

    workflows: tuple[InstanceSummary, ...]
    next_cursor: str | None = None


class TimelineQuery(Message, frozen=True, kw_only=True):
    """`timeline`: what became of an instance; answers Timeline."""

    kind: Kind
    id: WorkflowId
    run: Run | None = None
    """Of one run alone, without what lies in the inbox, which belongs to no run."""


class TimelineEntry(Message, frozen=True, kw_only=True):
    """An operation of the journal, or a message of the inbox."""

    at: datetime
    """When it began, or came; business time."""
    category: Literal["operation", "signal", "control", "notice"]
    type: str
    """Of an operation its type in the journal, of a signal its type, of a control its action, of a
    notice the child that it tells of."""
    status: str
    """Of an operation as in the status; of a message `read` or `unread`."""
    run: int | None = None
    name: str | None = None
    path: str | None = None
    """Empty on the main path, else of a branch or of the compensations."""
    attempts: int | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    """Of what sleeps or waits: its end. Of what is retried: its next attempt."""
    error: ErrorInfo | None = None
    """Of the last attempt that failed."""
    actor: str | None = None
    """Who sent a signal or asked for a control."""


class Timeline(Message, frozen=True, kw_only=True):
    """All that is kept of an instance, in order."""

    workflow_id: str
    kind: str
    status: Status
    run: int
    """The present one; each restart adds one."""
    actor: str | None
    """Who started it."""
    created_at: datetime
    finished_at: datetime | None
    entries: tuple[TimelineEntry, ...]
