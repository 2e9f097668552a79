"""What the service knows of the caches, and does to them."""

from __future__ import annotations

from typing import get_args

from shared.jetstream.cache import Cache
from shared.messages.maintenance import CacheName, CacheState
from shared.workflow.errors import Transient

NAMESPACES: tuple[CacheName, ...] = get_args(CacheName)


class Caches:
    """The caches, once it is given them. All methods raise Transient while they are away."""

    def __init__(self) -> None:
        self._cache: Cache | None = None

    def give(self, cache: Cache) -> None:
        """Where they are."""
        self._cache = cache

    async def invalidate(self, namespace: CacheName) -> None:
        """Has nobody read what was kept before."""
        await self._given.invalidate(namespace)

    async def states(self) -> tuple[CacheState, ...]:
        """Each namespace as it stands."""
        kept = await self._given.survey()
        found: list[CacheState] = []
        for namespace in NAMESPACES:
            generation = await self._given.current(namespace)
            entries = {each.generation: each.entries for each in kept if each[0] == namespace}
            read = entries.pop(generation, 0) if generation is not None else 0
            found.append(
                CacheState(
                    namespace=namespace,
                    generation=generation,
                    entries=read,
                    stale_entries=sum(entries.values()),
                )
            )
        return tuple(found)

    async def sweep(self) -> dict[str, int]:
        """Removes what nobody reads any more; how many entries, of each namespace that there is
        or was. (What has expired, the server removes by itself.)"""
        removed: dict[str, int] = dict.fromkeys(NAMESPACES, 0)
        # Surveyed before the generations are read: one that is made meanwhile is not in it, and
        # one that is in it and is not read now never will be again.
        for namespace, generation, entries in await self._given.survey():
            if generation != await self._given.current(namespace):
                await self._given.remove(namespace, generation)
                removed[namespace] = removed.get(namespace, 0) + entries
        return removed

    @property
    def _given(self) -> Cache:
        if self._cache is None:
            raise Transient("the service has not begun")
        return self._cache
