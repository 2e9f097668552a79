"""`ctx.parallel` and `ctx.settle`: branches side by side, each with a path of its own (rule 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from shared.workflow.branch import Branch
from shared.workflow.codec import describe
from shared.workflow.errors import (
    Controlled,
    Interruption,
    JournalMismatch,
    ReplayEnd,
    Stopped,
    Suspended,
)
from shared.workflow.execution import Execution
from shared.workflow.records import Entry

Run = Callable[[Branch], Awaitable[Any]]
"""A branch's code, given its path."""

QUIET = (Suspended, Stopped, Controlled, ReplayEnd)
"""What ends one branch and lets the others go on."""


@dataclass
class Outcome:
    """How a branch has left off: with a result, with an error, or quietly interrupted."""

    result: Any = None
    error: Exception | None = None
    interruption: Interruption | None = None


class Failed(NamedTuple):
    """Which branch failed first, and with what in this run."""

    number: int
    error: Exception | None


async def run_branches(
    execution: Execution, branch: Branch, runs: Sequence[Run], *, fail_fast: bool
) -> list[Any]:
    """The branches' results, and errors among them unless `fail_fast` raises the first.

    Which failure was the first is journaled, so that a replay raises the same.
    """
    name = "parallel" if fail_fast else "settle"
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "parallel")
        entry = slot.recorded
        if entry is None:
            entry = slot.entry("started", started_at=execution.clock.now())
            execution.gather(branch, entry)
            # Before anything of a branch: a path that nobody remembers is begun anew.
            await execution.commit_running(branch)
        place = f"{branch.path}{slot.position}."
        branches = [
            _branch_off(execution, branch, f"{place}{number}/", entry.finished)
            for number in range(len(runs))
        ]
        first = _first_failure(entry.result)
        outcomes, seen = await _all(execution, branches, runs, fail_fast=fail_fast)
        first = seen if first is None else first
        for each in branches:
            # What has gathered there, such as a sleep's beginning, commits with the path.
            branch.segment.absorb(each.segment)
        _await_calls(execution, branch, outcomes, place)
        if fail_fast and first is not None:
            failed = Failed(first, outcomes[first].error)
            raise _fail(execution, branch, branches, entry, failed)
        _raise_quiet(branch, outcomes)
        if entry.finished:
            branch.advance(entry)
        else:
            complete = replace(entry, state="complete", finished_at=_latest(branch, branches))
            execution.gather(branch, complete)
        return [outcome.error or outcome.result for outcome in outcomes]


def _fail(
    execution: Execution, branch: Branch, branches: Sequence[Branch], entry: Entry, failed: Failed
) -> Exception:
    """The failure of the branch that failed first, journaled as such."""
    if failed.error is None:
        raise execution.life.interrupted(
            JournalMismatch(f"a failure of branch {failed.number} of {entry.name!r}", "its end")
        )
    if entry.finished:
        branch.advance(entry)
    else:
        execution.gather(
            branch,
            replace(
                entry,
                state="failed",
                result=msgspec.json.encode(failed.number),
                finished_at=_latest(branch, branches),
                error=describe(failed.error),
            ),
        )
    return failed.error


def _branch_off(execution: Execution, branch: Branch, path: str, is_over: bool) -> Branch:
    child = Branch(
        execution.instance,
        path,
        execution.journal.values(),
        branch.segment.branch_off(execution.slots),
        branch,
    )
    # Of branches that have all come to their end, none begins anything more.
    child.stopped = is_over
    return child


async def _all(
    execution: Execution, branches: Sequence[Branch], runs: Sequence[Run], *, fail_fast: bool
) -> tuple[list[Outcome], int | None]:
    """How each has left off, and which failed first."""
    first: int | None = None

    def failed(number: int) -> None:
        nonlocal first
        first = number if first is None else first
        for each in branches:
            # What is under way is let finish, so that its outcome is known.
            each.stopped = each.stopped or fail_fast

    tasks = [
        asyncio.create_task(_one(execution, branch, run, partial(failed, number)))
        for number, (branch, run) in enumerate(zip(branches, runs, strict=True))
    ]
    try:
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        # By trouble of one of them, or by a drain: none may act after the run's end.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks], first


async def _one(
    execution: Execution, branch: Branch, run: Run, failed: Callable[[], None]
) -> Outcome:
    try:
        try:
            result = await run(branch)
        finally:
            await execution.close(branch)
            await branch.segment.end()
            execution.life.raise_if_interrupted()
            branch.raise_if_interrupted()
            execution.life.raise_if_misused()
        try:
            branch.check_used_up()
        except Interruption as mismatch:
            raise execution.life.interrupted(mismatch) from None
    except QUIET as interruption:
        return Outcome(interruption=interruption)
    except Exception as error:  # noqa: BLE001 - whatever a branch raises is its end
        failed()
        return Outcome(error=error)
    return Outcome(result=result)


def _await_calls(
    execution: Execution, branch: Branch, outcomes: Sequence[Outcome], place: str
) -> None:
    """Suspends the path, whatever else has happened, while nobody knows what became of a call on
    one of its branches: a failure would leave it behind, and a control is not obeyed before."""
    waits = _waits(outcomes)
    if waits and execution.in_flight(branch.segment, place):
        raise branch.interrupted(_together(waits))


def _raise_quiet(branch: Branch, outcomes: Sequence[Outcome]) -> None:
    """Interrupts the path if any branch has more to do, once none of them can go on now."""
    for kind in (Controlled, ReplayEnd, Stopped):
        if any(isinstance(each.interruption, kind) for each in outcomes):
            raise branch.interrupted(kind())
    if waits := _waits(outcomes):
        raise branch.interrupted(_together(waits))


def _waits(outcomes: Sequence[Outcome]) -> list[Suspended]:
    return [each.interruption for each in outcomes if isinstance(each.interruption, Suspended)]


def _together(waits: Sequence[Suspended]) -> Suspended:
    wake_at = [each.wake_at for each in waits if each.wake_at is not None]
    machine = [each.machine_seconds for each in waits if each.machine_seconds is not None]
    return Suspended(
        min(wake_at, default=None),
        wanted=frozenset[str]().union(*(each.wanted for each in waits)),
        machine_seconds=min(machine, default=None),
    )


def _latest(branch: Branch, branches: Sequence[Branch]) -> datetime:
    return max((each.now for each in branches), default=branch.now)


def _first_failure(result: bytes | None) -> int | None:
    return None if result is None else msgspec.json.decode(result, type=int)
