"""What must never be: the request that every service answers, and what it finds."""

from __future__ import annotations

import msgspec

from shared.messages.base import Message


class AllInvariants(Message, frozen=True, kw_only=True):
    """`invariants`: answers Violations, of which there should be none."""


class Violation(Message, frozen=True, kw_only=True):
    """Something that must never be, and is."""

    invariant: str
    subject: str
    """The id or key of what breaks it."""
    detail: str


class Violations(Message, frozen=True, kw_only=True):
    """What breaks an invariant: at most a hundred of each are named, and all are counted."""

    violations: tuple[Violation, ...]
    counts: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """How many there are, by invariant; none that holds."""
