"""The crons of a harness: their nominal times come as its business time is moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from shared.messages.base import encode
from shared.runtime.crons import checked
from shared.workflow.crons import Cron, StoredCron, Timetable, nominal_id
from shared.workflow.records import OutboxMessage
from shared.workflow.registry import Registry


class Nominal(NamedTuple):
    """A nominal time that is to come, and what it starts."""

    at: datetime
    cron: Cron


class Crontab:
    """What a service's scheduler does, without replicas, outages and operators."""

    def __init__(self, crons: Sequence[Cron], registry: Registry, now: datetime):
        """Raises ValueError for a cron that does not fit the workflows."""
        self._next = [_after(cron, now) for cron in checked(crons, 1, registry)]

    @property
    def next_at(self) -> datetime | None:
        """The earliest nominal time to come."""
        return min((each.at for each in self._next), default=None)

    def take_due(self, now: datetime) -> list[OutboxMessage]:
        """The starts of the crons whose time has come."""
        due = [each for each in self._next if each.at <= now]
        self._next = [_after(each.cron, now) if each in due else each for each in self._next]
        return [_start(each) for each in due]


def _after(cron: Cron, now: datetime) -> Nominal:
    return Nominal(Timetable(cron.expression, cron.time_zone).after(now), cron)


def _start(nominal: Nominal) -> OutboxMessage:
    at, cron = nominal
    stored = StoredCron(
        name=cron.name,
        kind=cron.trigger.kind,
        input=encode(cron.trigger),
        expression=cron.expression,
        time_zone=cron.time_zone,
        next_at=at,
    )
    workflow_id = nominal_id(cron.name, at)
    return stored.start(workflow_id, decided_at=at, actor=f"cron:{cron.name}", now=at)
