"""Takes expired keys out of the caches."""

from __future__ import annotations

from shared.messages.maintenance import CachesInvalidated
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext


class CacheInvalidation:
    """Takes expired keys out of the caches."""

    async def __call__(self, ctx: WorkflowContext) -> CachesInvalidated:
        """See Part."""
        return await ctx.call("cache_invalidation", self.act)

    async def act(self, _call: Call) -> CachesInvalidated:
        """Nothing yet."""
        return CachesInvalidated()
