"""Applies the retention policies, at each table's owner."""

from __future__ import annotations

from shared.messages.maintenance import DatabaseCleaned
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class DatabaseCleanup:
    """Applies the retention policies, at each table's owner."""

    async def __call__(self, ctx: WorkflowContext) -> DatabaseCleaned:
        """See Part."""
        return await ctx.call("database_cleanup", self.act)

    async def act(self, _call: Call) -> DatabaseCleaned:
        """Nothing yet."""
        return DatabaseCleaned()
