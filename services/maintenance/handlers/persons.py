"""Answers who was erased."""

from __future__ import annotations

from services.maintenance.store.persons import PersonStore
from shared.messages.persons import Erasures, ErasuresQuery
from shared.runtime.handling import AnyHandler, Handler, Work


async def erasures(work: Work, query: ErasuresQuery) -> Erasures:
    """Those since an instant, to be repeated after a restore."""
    found = await PersonStore(work.connection).erasures(query, query.limit + 1)
    kept = found[: query.limit]
    more = len(found) > len(kept)
    return Erasures(erasures=tuple(kept), next_cursor=kept[-1].workflow_id if more else None)


QUERIES: tuple[AnyHandler, ...] = (Handler("erasures", ErasuresQuery, erasures),)
