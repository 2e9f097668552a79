"""What maintenance does to the caches, on their twin in memory."""

from __future__ import annotations

import pytest

from services.maintenance.caches import Caches
from shared.jetstream.cache import Kept
from shared.messages.maintenance import CacheState
from shared.testing.memory_cache import MemoryCache
from shared.workflow.errors import Transient


class Invalidated(MemoryCache):
    """One that is invalidated, and filled anew, right after it was surveyed."""

    async def survey(self) -> list[Kept]:
        found = await super().survey()
        await put(self, "plans", await self.invalidate("plans"))
        return found


async def put(cache: MemoryCache, namespace: str, generation: str) -> str:
    await cache.put(namespace, generation, "one", b"value", ttl_seconds=60)
    return generation


def given(cache: MemoryCache) -> Caches:
    caches = Caches()
    caches.give(cache)
    return caches


async def test_a_sweep_that_meets_an_invalidation_leaves_what_is_read_now() -> None:
    cache = Invalidated()
    await put(cache, "plans", await cache.generation("plans"))
    assert (await given(cache).sweep())["plans"] == 1
    assert await cache.get("plans", await cache.generation("plans"), "one") == b"value"


@pytest.mark.rule("maintenance-cache")
async def test_a_sweep_removes_a_namespace_of_another_build_and_what_a_sleeper_put() -> None:
    cache = MemoryCache()
    held = await cache.generation("plans")
    await cache.invalidate("plans")
    await put(cache, "plans", held)
    await put(cache, "retired", "generation-0")
    caches = given(cache)
    assert await caches.sweep() == {"achievements": 0, "plans": 1, "retired": 1}
    assert await caches.sweep() == {"achievements": 0, "plans": 0}


async def test_a_namespace_that_nobody_has_read_is_shown_as_empty() -> None:
    states = await given(MemoryCache()).states()
    assert states == tuple(
        CacheState(namespace=each, generation=None, entries=0, stale_entries=0)
        for each in ("achievements", "plans")
    )


async def test_before_the_service_has_begun_it_is_trouble_that_passes() -> None:
    with pytest.raises(Transient):
        await Caches().sweep()
