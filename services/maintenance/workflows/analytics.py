"""Rolls up what has changed."""

from __future__ import annotations

from shared.messages.maintenance import AnalyticsProcessed
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class Analytics:
    """Rolls up what has changed."""

    async def __call__(self, ctx: WorkflowContext) -> AnalyticsProcessed:
        """See Part."""
        return await ctx.call("analytics", self.act)

    async def act(self, _call: Call) -> AnalyticsProcessed:
        """Nothing yet."""
        return AnalyticsProcessed()
