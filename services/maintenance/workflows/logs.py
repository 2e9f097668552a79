"""Archives closed log segments that are old enough."""

from __future__ import annotations

from shared.messages.maintenance import LogsRotated
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class LogRotation:
    """Archives closed log segments that are old enough."""

    async def __call__(self, ctx: WorkflowContext) -> LogsRotated:
        """See Part."""
        return await ctx.call("log_rotation", self.act)

    async def act(self, _call: Call) -> LogsRotated:
        """Nothing yet."""
        return LogsRotated()
