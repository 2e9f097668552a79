"""Takes away what has been kept long enough, at maintenance's request; a batch a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from shared.messages.problems import Refused
from shared.messages.retention import ApplyRetention, RetentionApplied, Vacuum, Vacuumed
from shared.postgres.retention import RetentionStore
from shared.postgres.vacuum import VacuumStore
from shared.runtime.handling import AnyErrand, Errand
from shared.runtime.surroundings import Surroundings

BATCH = 1000


@dataclass(frozen=True)
class Dataset:
    """Rows of one kind that a service owns."""

    name: str
    delete: Callable[[Surroundings, datetime, int], Awaitable[int]]
    """Deletes up to so many that are strictly older, in a transaction of its own: children before
    their parents, and none that somebody holds; how many."""
    oldest: Callable[[Surroundings], Awaitable[datetime | None]]
    """The instant that the age of the oldest counts from."""
    now: Callable[[Surroundings], Awaitable[datetime]] | None = None
    """Of machine time, where their age is that; else business time counts."""


def cutoff(now: datetime, keep: timedelta, not_after: datetime | None) -> datetime:
    """What is strictly older goes."""
    kept_since = now - keep
    return kept_since if not_after is None else min(kept_since, not_after)


def of_engine() -> tuple[Dataset, ...]:
    """What every service has."""

    async def retire(surroundings: Surroundings, before: datetime, limit: int) -> int:
        store = RetentionStore(surroundings.pool)
        return await store.retire(before, surroundings.clock.now(), limit)

    async def forget_sent(surroundings: Surroundings, before: datetime, limit: int) -> int:
        return await RetentionStore(surroundings.pool).forget_sent(before, limit)

    async def first_end(surroundings: Surroundings) -> datetime | None:
        return await RetentionStore(surroundings.pool).first_end()

    async def first_sent(surroundings: Surroundings) -> datetime | None:
        return await RetentionStore(surroundings.pool).first_sent()

    async def machine_now(surroundings: Surroundings) -> datetime:
        return await RetentionStore(surroundings.pool).machine_now()

    return (
        Dataset("instances", retire, first_end),
        Dataset("outbox", forget_sent, first_sent, machine_now),
    )


def errands(datasets: Sequence[Dataset], *, batch: int = BATCH) -> tuple[AnyErrand, ...]:
    """`apply_retention` for these, and `vacuum`."""
    known = {each.name: each for each in datasets}

    async def apply_retention(
        surroundings: Surroundings, asked: ApplyRetention
    ) -> RetentionApplied:
        dataset = known.get(asked.name)
        if dataset is None:
            names = ", ".join(sorted(known))
            raise Refused(
                "unknown_dataset", f"nothing is called {asked.name!r}: {names}", field="name"
            )
        return await apply(dataset, surroundings, asked, batch)

    async def vacuum(surroundings: Surroundings, _: Vacuum) -> Vacuumed:
        store = VacuumStore(surroundings.pool)
        done: dict[bool, list[str]] = {True: [], False: []}
        for table in await store.loose():
            done[await store.vacuum(table)].append(table)
        return Vacuumed(tables=tuple(done[True]), skipped=tuple(done[False]))

    return (
        Errand("apply_retention", ApplyRetention, apply_retention),
        Errand("vacuum", Vacuum, vacuum),
    )


async def apply(
    dataset: Dataset, surroundings: Surroundings, asked: ApplyRetention, batch: int = BATCH
) -> RetentionApplied:
    """Batch after batch until nothing is left or the time is used up, with a rest as long as the
    batch before each: others get half of the server at least. Cut off, it has done what it had
    done."""
    now = await dataset.now(surroundings) if dataset.now else surroundings.clock.now()
    keep = timedelta(seconds=asked.keep_seconds)
    before, overdue_before = cutoff(now, keep, asked.not_after), now - keep
    ends = monotonic() + asked.budget_seconds
    began = monotonic()
    deleted = taken = await dataset.delete(surroundings, before, batch)
    while taken == batch and monotonic() < ends:
        await asyncio.sleep(monotonic() - began)
        began = monotonic()
        taken = await dataset.delete(surroundings, before, batch)
        deleted += taken
    oldest = await dataset.oldest(surroundings)
    overdue = oldest is not None and oldest < overdue_before
    return RetentionApplied(
        deleted=deleted,
        done=taken < batch,
        overdue_since=oldest + keep if oldest is not None and overdue else None,
    )
