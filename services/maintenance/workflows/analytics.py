"""Rolls up what has changed."""

from __future__ import annotations

from typing import Protocol

from shared.messages.maintenance import AnalyticsProcessed
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import Transient


class Roller(Protocol):
    """Whoever rolls up."""

    async def tick(self) -> AnalyticsProcessed:
        """Does all that there is to do. Raises Transient."""
        ...


class Analytics:
    """Rolls up what has changed, once it is given who does."""

    def __init__(self) -> None:
        self._roller: Roller | None = None

    def give(self, roller: Roller) -> None:
        """Who rolls up."""
        self._roller = roller

    async def __call__(self, ctx: WorkflowContext) -> AnalyticsProcessed:
        """See Part."""
        return await ctx.call("analytics", self.act)

    async def act(self, _call: Call) -> AnalyticsProcessed:
        """Done twice, it gives the same numbers."""
        if self._roller is None:
            raise Transient("the service has not begun")
        return await self._roller.tick()
