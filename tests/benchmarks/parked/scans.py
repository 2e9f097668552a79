"""What the timekeeper's look costs where there is much that is not due."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter

import msgspec

from shared.postgres import statements
from tests.benchmarks.measure import WrongResult
from tests.benchmarks.parked.house import CLOCK, FILL_INBOX, House
from tests.plans import Plan, plan_of

BATCH = 500
"""As many as the timekeeper takes at once."""
IDLE_LOOKS = 200
BUSY_LOOKS = 20

DUE = "due"
MAKE_DUE = """
UPDATE workflow_instances SET due_at = $1, due_clock = 'business', wakes = 0
WHERE starts_with(id, 'due-')
"""
REMOVE_DUE = (
    "DELETE FROM workflow_instances WHERE starts_with(id, 'due-')",
    "DELETE FROM workflow_journal WHERE starts_with(id, 'due-')",
)


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """One situation: first in the house with next to nothing in it, then in the full one."""

    situation: str
    looks_ms: tuple[list[float], list[float]]
    """Those of the same place were made one right after the other."""
    statement: str
    """Of which the plans are."""
    plans: tuple[Plan, Plan]


async def measure_scans(empty: House, full: House, *, due: int, parked: int) -> list[Scan]:
    """Looks in both houses by turns, with their services stopped."""
    houses = (empty, full)
    scans = [await _idle("none due", "TAKE_DUE", houses)]
    await full.pool.execute(FILL_INBOX, "parked", parked)
    await full.tidy()
    scans.append(await _idle(f"none due, {parked:,} unread messages", "TAKE_UNREAD", houses))
    await full.pool.execute("TRUNCATE inbox")
    scans.append(await _busy(houses, due))
    return scans


async def _idle(situation: str, statement: str, houses: tuple[House, House]) -> Scan:
    looks_ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(IDLE_LOOKS):
        for house, found in zip(houses, looks_ms, strict=True):
            found.append(await _look(house, due=0))
    return await _scan(situation, statement, houses, looks_ms)


async def _busy(houses: tuple[House, House], due: int) -> Scan:
    looks_ms: tuple[list[float], list[float]] = ([], [])
    for house in houses:
        await house.park(DUE, due, CLOCK.now(), timedelta())
    for _ in range(BUSY_LOOKS):
        for house, found in zip(houses, looks_ms, strict=True):
            await _make_due(house)
            found.append(await _look(house, due=due))
    for house in houses:
        await _make_due(house)
    scan = await _scan(f"{due:,} due", "TAKE_DUE", houses, looks_ms)
    for house in houses:
        for statement in REMOVE_DUE:
            await house.pool.execute(statement)
    return scan


async def _make_due(house: House) -> None:
    await house.pool.execute(MAKE_DUE, CLOCK.now())
    # Else each look would walk over what the one before it has left.
    await house.tidy()


async def _look(house: House, *, due: int) -> float:
    """Milliseconds until all is taken that is due."""
    taken, began = 0, perf_counter()
    while True:
        found = len(await house.store.take_due(CLOCK.now(), BATCH))
        taken += found
        if found < BATCH:
            break
    elapsed_ms = 1000 * (perf_counter() - began)
    if taken != due:
        raise WrongResult(f"{taken} instances were taken instead of {due}")
    return elapsed_ms


async def _scan(
    situation: str,
    statement: str,
    houses: tuple[House, House],
    looks_ms: tuple[list[float], list[float]],
) -> Scan:
    empty, full = houses
    text: str = getattr(statements, statement)
    args = (CLOCK.now(), BATCH) if statement == "TAKE_DUE" else (BATCH,)
    plans = (await plan_of(empty.pool, text, *args), await plan_of(full.pool, text, *args))
    return Scan(situation=situation, looks_ms=looks_ms, statement=statement, plans=plans)
