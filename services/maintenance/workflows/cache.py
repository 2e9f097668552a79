"""Takes expired keys out of the caches."""

from __future__ import annotations

from services.maintenance.caches import Caches
from shared.messages.maintenance import CachesInvalidated
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class CacheInvalidation:
    """Takes expired keys out of the caches: those of generations that nobody reads any more."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    async def __call__(self, ctx: WorkflowContext) -> CachesInvalidated:
        """See Part."""
        return await ctx.call("cache_invalidation", self.act)

    async def act(self, _call: Call) -> CachesInvalidated:
        """Done twice, it finds nothing the second time."""
        return CachesInvalidated(removed=await self._caches.sweep())
