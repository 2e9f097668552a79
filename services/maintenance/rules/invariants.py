"""What is to be told of two looks at the same invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from shared.messages.invariants import Violation, Violations
from shared.messages.notices import OPERATORS, Notice
from shared.messages.statuses import Reason, StatusDifference

ANSWERS = "a_service_answers"
STATUS = "a_status_is_that_of_the_journal"

WRONG: frozenset[Reason] = frozenset({"altered", "ahead", "orphan"})
"""How no crash leaves a key: one between commit and put leaves it missing or behind."""

LONGEST_SUBJECT = 80
"""In a key of a notice, beside the other parts."""


class News(NamedTuple):
    """What has changed."""

    broken: tuple[Violation, ...]
    restored: tuple[tuple[str, str], ...]
    """Invariant and subject."""


def silent(service: str, reason: str) -> Violation:
    """A service that did not answer."""
    return Violation(invariant=ANSWERS, subject=service, detail=reason)


def of_statuses(differences: Iterable[StatusDifference]) -> tuple[Violation, ...]:
    """Keys that somebody must have written who had no business to."""
    return tuple(
        Violation(
            invariant=STATUS,
            subject=f"{each.kind}.{each.id}",
            detail=f"{each.reason}, {'mended' if each.mended else 'left for the next time'}",
        )
        for each in differences
        if each.reason in WRONG
    )


def news(known: Collection[tuple[str, str]], found: Violations) -> News:
    """What is broken that was not known to be, and what is not broken any more.

    Of an invariant that more break than are named, what is not named may still be broken.
    """
    named = {(each.invariant, each.subject): each for each in found.violations}
    of_each = Counter(invariant for invariant, _ in named)
    return News(
        broken=tuple(each for key, each in named.items() if key not in known),
        restored=tuple(
            key
            for key in known
            if key not in named and found.counts.get(key[0], 0) <= of_each[key[0]]
        ),
    )


def notice(name: str, service: str, violation: Violation, since: datetime) -> Notice:
    """One for each time that it breaks or is restored."""
    subject = violation.subject
    if len(subject) > LONGEST_SUBJECT:
        subject = sha256(subject.encode()).hexdigest()
    return Notice(
        name=name,
        recipient=OPERATORS,
        key=f"{service}/{violation.invariant}/{subject}/{since.isoformat()}",
        data={
            "service": service,
            "invariant": violation.invariant,
            "subject": violation.subject,
            "detail": violation.detail,
            "since": since.isoformat(),
        },
    )
