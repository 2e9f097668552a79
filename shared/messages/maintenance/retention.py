"""The policies of retention: what operators read and change."""

from __future__ import annotations

from datetime import datetime

from shared.messages.base import Message
from shared.messages.retention import DatasetName, KeepSeconds


class AllRetention(Message, frozen=True, kw_only=True):
    """`retention`: answers RetentionPolicies."""


class SetRetention(Message, frozen=True, kw_only=True):
    """`set_retention`: changes what is given. Answers RetentionPolicy."""

    owner: DatasetName
    name: DatasetName
    keep_seconds: KeepSeconds | None = None
    enabled: bool | None = None


class RetentionPolicy(Message, frozen=True, kw_only=True):
    """How long an owner keeps one kind of rows."""

    owner: str
    name: str
    keep_seconds: int
    enabled: bool
    gated: bool
    """Whether rows stay until the analytics of their day are closed."""
    updated_at: datetime
    updated_by: str
    applied_at: datetime | None = None
    """When it was last applied."""
    overdue_since: datetime | None = None
    """Since when something is overdue that was then left. Where the owner did not answer: since
    when something may be."""


class RetentionPolicies(Message, frozen=True, kw_only=True):
    """Every policy, in the order in which they are applied."""

    policies: tuple[RetentionPolicy, ...]
