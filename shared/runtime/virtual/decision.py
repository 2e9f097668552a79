"""What to do with the virtual clock next: a pure function of two looks at all processes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.messages.clock import Activity, ClockReport


@dataclass(frozen=True)
class Look:
    """All processes and their work queues at one time."""

    reports: tuple[ClockReport, ...]
    silent: tuple[str, ...] = ()
    """Processes that are there but did not answer."""
    waiting: int = 0
    """Messages that are not delivered, or delivered and not acknowledged."""
    delivered: int = 0
    """Deliveries so far."""

    @property
    def instant(self) -> datetime | None:
        """The instant of all processes; None while they differ or one is silent."""
        instants = {report.instant for report in self.reports}
        return instants.pop() if len(instants) == 1 and not self.silent else None

    @property
    def unfinished(self) -> int:
        """How much is still to be done at the present instant; it falls as work goes on."""
        return self.waiting + sum(
            activity.held + activity.unsent
            for activity in (report.activity for report in self.reports)
            if activity is not None
        )

    @property
    def trace(self) -> tuple[object, ...]:
        """Differs from an earlier look's whenever something was done in between."""
        commits = {
            (report.member, report.activity.commits)
            for report in self.reports
            if report.activity is not None
        }
        return (self.delivered, frozenset(commits), self.instant)


@dataclass(frozen=True)
class Wait:
    """Look again soon."""

    reason: str


@dataclass(frozen=True)
class SetTo:
    """Set every process's clock."""

    instant: datetime


@dataclass(frozen=True)
class Arrived:
    """The target is reached, and everybody is idle there."""


Action = Wait | SetTo | Arrived


def decide(before: Look | None, look: Look, services: Collection[str], target: datetime) -> Action:
    """Engine rule 29. `before` is the look before this one; each of `services` must be there."""
    missing = next(_missing(look, services), None)
    if missing is not None:
        return Wait(missing)
    if look.instant is None:
        # One was away when the others were set, or whoever set them ended half-way.
        return SetTo(max(report.instant for report in look.reports))
    unfinished = next(_unfinished(look), None)
    if unfinished is not None:
        return Wait(unfinished)
    if before is None or before.trace != look.trace or next(_unfinished(before), None):
        return Wait("idle so far; a second look must agree")
    if look.instant >= target:
        return Arrived()
    return SetTo(min([target, *_due(look)]))


def _missing(look: Look, services: Collection[str]) -> Iterator[str]:
    if look.silent:
        yield f"{look.silent[0]} does not answer"
    there = {report.service for report in look.reports}
    for service in services:
        if service not in there:
            yield f"no process of {service} answers on the virtual clock"


def _unfinished(look: Look) -> Iterator[str]:
    """What is still to be done at the present instant, if anything."""
    for report in look.reports:
        activity = report.activity
        if activity is None:
            continue
        for count, what in _counts(activity):
            if count:
                yield f"{report.service}: {count} {what}"
        if activity.due_at is not None and activity.due_at <= report.instant:
            yield f"{report.service}: what was due at {activity.due_at.isoformat()} is not woken"
    if look.waiting:
        yield f"{look.waiting} messages wait or are being worked at"


def _counts(activity: Activity) -> tuple[tuple[int, str], ...]:
    return (
        (activity.held, "instances are at work, or wait for a worker"),
        (activity.open_transactions, "transactions are open"),
        (activity.unsent, "messages of the outbox are unsent"),
    )


def _due(look: Look) -> Iterator[datetime]:
    for report in look.reports:
        if report.activity is not None and report.activity.due_at is not None:
            yield report.activity.due_at
