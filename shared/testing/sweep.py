"""Runs a test's scenario with the process lost at each point that it passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager

from shared.testing.faults import Faults
from shared.testing.harness import Harness, OpenHarness
from shared.testing.world import Sql
from shared.workflow.crons import Cron
from shared.workflow.registry import Registration

Scenario = Callable[[OpenHarness], Awaitable[None]]
"""A test's body: it opens a harness with what it is given, acts, and asserts."""


async def at_every_point(
    open_harness: OpenHarness, scenario: Scenario, *, every: int = 1
) -> list[str]:
    """Runs the scenario undisturbed, then with the process cut off, and frozen, at each point.

    What it asserts must hold every time. Returns the points: before and after each commit, publish,
    status and acknowledgement. An error carries a note that names its point. `every` takes each
    how manyth one, where all would take too long.
    """
    undisturbed = Faults()
    await scenario(_opening(open_harness, undisturbed))
    for number, point in list(enumerate(undisturbed.passed))[::every]:
        for freeze in (False, True):
            faults = Faults(number, freeze=freeze)
            try:
                await scenario(_opening(open_harness, faults))
                if not faults.reached.is_set():
                    raise AssertionError("not reached: the scenario does not do the same each time")
            except Exception as error:
                lost = "frozen" if freeze else "cut off"
                error.add_note(f"with the process {lost} at point {number}, {point!r}")
                raise
    return undisturbed.passed


def _opening(open_harness: OpenHarness, faults: Faults) -> OpenHarness:
    def opened(
        registrations: Iterable[Registration],
        *,
        sql: Sql = "",
        faults: Faults | None = faults,
        crons: Sequence[Cron] = (),
    ) -> AbstractAsyncContextManager[Harness]:
        return open_harness(registrations, sql=sql, faults=faults, crons=crons)

    return opened
