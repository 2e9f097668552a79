"""Requests that every service answers beside its own."""

from __future__ import annotations

from collections.abc import Iterable

from shared.messages.problems import Refused
from shared.messages.workflows import InstanceQuery, StatusDocument
from shared.runtime import dead_letters, lists
from shared.runtime.handling import AnyErrand, AnyHandler, Handler, Work
from shared.runtime.notices import ACKNOWLEDGE_NOTICE, NOTICES
from shared.runtime.readiness import READINESS
from shared.runtime.schedules import ScheduleHandlers
from shared.workflow.ports import InstanceStore
from shared.workflow.projection import project
from shared.workflow.records import InstanceKey

INQUIRIES: tuple[AnyErrand, ...] = (READINESS,)
"""Queries that are answered while PostgreSQL is away."""


def commands(service: str, kinds: Iterable[str]) -> tuple[AnyHandler, ...]:
    """Those that change something."""
    return (
        ACKNOWLEDGE_NOTICE,
        *dead_letters.DeadLetterCommands(service, kinds).handlers(),
        *ScheduleHandlers(service).commands(),
    )


def queries(service: str, store: InstanceStore) -> tuple[AnyHandler, ...]:
    """Those that read."""
    return (
        _instance(store),
        NOTICES,
        *lists.QUERIES,
        *dead_letters.QUERIES,
        *ScheduleHandlers(service).queries(),
    )


def _instance(store: InstanceStore) -> AnyHandler:
    """`queries.<service>.instance`: the status as the journal has it, whatever the bucket says."""

    async def instance(_: Work, query: InstanceQuery) -> StatusDocument:
        loaded = await store.load(InstanceKey(query.kind, query.id))
        if loaded is None:
            raise Refused("workflow_not_found", f"no {query.kind} {query.id}", status=404)
        return project(*loaded)

    return Handler("instance", InstanceQuery, instance)
