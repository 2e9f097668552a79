"""Looks at every component once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.messages.maintenance import HealthChecked
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class HealthChecks:
    """Looks at every component once. One that fails is a result; alerts are the monitor's."""

    def __init__(self, check: Callable[[], Awaitable[HealthChecked]]):
        self._check = check

    async def __call__(self, ctx: WorkflowContext) -> HealthChecked:
        """See Part."""
        return await ctx.call("health_checks", self.act)

    async def act(self, _call: Call) -> HealthChecked:
        """The result of each check."""
        return await self._check()
