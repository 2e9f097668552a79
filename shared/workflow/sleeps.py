"""`ctx.sleep`: suspends a path until an instant that is journaled at the first encounter."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.workflow.branch import Branch
from shared.workflow.errors import Suspended
from shared.workflow.execution import Execution


async def run_sleep(
    execution: Execution, branch: Branch, name: str, at: datetime | None, duration: timedelta
) -> None:
    """Returns once `at`, or `duration` from the branch's now, has come in business time."""
    with execution.operating(branch, name):
        slot = await execution.take(branch, name, "sleep")
        entry = slot.recorded
        if entry is not None and entry.finished:
            branch.advance(entry)
            return
        now = execution.clock.now()
        due_at = (entry.due_at if entry else at) or branch.now + duration
        if entry is None:
            entry = slot.entry("sleeping", started_at=now, due_at=due_at)
            if due_at > now:
                execution.gather(branch, entry)
        if due_at > now:
            raise branch.interrupted(Suspended(due_at))
        execution.gather(branch, replace(entry, state="complete", finished_at=now))
