"""`ctx.patched`: how changed code meets instances that are under way."""

from __future__ import annotations

from shared.workflow.branch import Branch
from shared.workflow.errors import ReplayEnd
from shared.workflow.execution import Execution


def run_patched(execution: Execution, branch: Branch, name: str) -> bool:
    """Whether the patch applies; where the journal has nothing yet it does, from now on."""
    execution.check_alive(branch)
    applies = branch.is_patched(name)
    if applies is not None:
        return applies
    if execution.replaying:
        raise branch.interrupted(ReplayEnd())
    now = execution.clock.now()
    slot = execution.begin(branch, name, "patch")
    execution.gather(branch, slot.entry("complete", started_at=now))
    return True
