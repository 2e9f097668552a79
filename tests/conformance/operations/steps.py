"""What the workflows of these tests are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.testing.journeys import leave_row
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.step import Step

Branch = Callable[[WorkflowContext], Awaitable[str]]


def leaving(*names: str) -> Branch:
    """A branch of steps."""

    async def branch(ctx: WorkflowContext) -> str:
        for name in names:
            await ctx.step(name, leave_row, name)
        return names[-1]

    return branch


async def refuse(step: Step, name: str) -> str:
    """Writes, and fails for good."""
    await leave_row(step, name)
    raise NonRetryableError("refused", name)
