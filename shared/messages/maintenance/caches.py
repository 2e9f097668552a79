"""What is cached, and what can be asked and done about it."""

from __future__ import annotations

from typing import Literal

from shared.messages.base import Message

CacheName = Literal["achievements", "plans"]
"""The namespaces: the achievement catalogue, and the plans with their limits."""


class InvalidateCache(Message, frozen=True, kw_only=True):
    """`invalidate_cache`: nobody reads what was kept before; answers CacheState."""

    namespace: CacheName


class AllCaches(Message, frozen=True, kw_only=True):
    """`caches`: answers Caches."""


class CacheState(Message, frozen=True, kw_only=True):
    """A namespace as it stands in the bucket."""

    namespace: str
    generation: str | None
    """Another one after each invalidation; None where nobody has read since the bucket was lost."""
    entries: int
    """Answers that are read."""
    stale_entries: int
    """Answers from before an invalidation: nobody reads them, and the next upkeep removes them."""


class Caches(Message, frozen=True, kw_only=True):
    """All namespaces."""

    caches: tuple[CacheState, ...]
