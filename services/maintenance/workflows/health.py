"""Looks at every component once."""

from __future__ import annotations

from shared.messages.maintenance import HealthChecked
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class HealthChecks:
    """Looks at every component once."""

    async def __call__(self, ctx: WorkflowContext) -> HealthChecked:
        """See Part."""
        return await ctx.call("health_checks", self.act)

    async def act(self, _call: Call) -> HealthChecked:
        """Nothing yet."""
        return HealthChecked()
