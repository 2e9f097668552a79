"""Requests that every service answers beside its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.messages.invariants import AllInvariants, Violations
from shared.messages.problems import Refused
from shared.messages.workflows import InstanceQuery, StatusDocument
from shared.postgres.invariants import ENGINE, Invariants, InvariantStore
from shared.runtime import dead_letters, keeping
from shared.runtime.handling import AnyErrand, AnyHandler, Handler, Work
from shared.runtime.keeping import Dataset
from shared.runtime.mending import mend_statuses
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


def errands(kinds: Iterable[str], datasets: Sequence[Dataset] = ()) -> tuple[AnyErrand, ...]:
    """Commands that keep their own transactions."""
    return (mend_statuses(kinds), *keeping.errands((*keeping.of_engine(), *datasets)))


def queries(service: str, store: InstanceStore, invariants: Invariants) -> tuple[AnyHandler, ...]:
    """Those that read."""
    return (
        _instance(store),
        _invariants({**ENGINE, **invariants}),
        NOTICES,
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


def _invariants(held: Invariants) -> AnyHandler:
    """`queries.<service>.invariants`: those of the engine and the service's own."""

    async def invariants(work: Work, _: AllInvariants) -> Violations:
        return await InvariantStore(work.connection, held).broken(work.now)

    return Handler("invariants", AllInvariants, invariants)
