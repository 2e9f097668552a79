"""Answers what the last look at the invariants found, and has it done again."""

from __future__ import annotations

from services.maintenance.store.invariants import ResultStore
from shared.messages.maintenance import CheckInvariants, InvariantResults, InvariantResultsQuery
from shared.runtime.handling import AnyHandler, Handler, Work


async def invariant_results(work: Work, _: InvariantResultsQuery) -> InvariantResults:
    """What was found last."""
    return InvariantResults(services=tuple(await ResultStore(work.connection).results()))


async def check_invariants(work: Work, _: CheckInvariants) -> InvariantResults:
    """Has a replica ask every service within the second."""
    store = ResultStore(work.connection)
    await store.hurry()
    return InvariantResults(services=tuple(await store.results()))


COMMANDS: tuple[AnyHandler, ...] = (Handler("check_invariants", CheckInvariants, check_invariants),)
QUERIES: tuple[AnyHandler, ...] = (
    Handler("invariant_results", InvariantResultsQuery, invariant_results),
)
