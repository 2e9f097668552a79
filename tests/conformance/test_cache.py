"""One suite for the caches: on JetStream and on the twin in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from shared.jetstream.cache import Cache, JetStreamCache, Kept
from shared.jetstream.connection import connect, jetstream
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.testing.memory_cache import MemoryCache

PLANS, OTHER = "plans", "achievements"


@dataclass
class Bench:
    """A cache, and what happens to it."""

    cache: Cache
    lose: Callable[[], Awaitable[object]]
    wait: Callable[[], Awaitable[object]]
    """Lets a second go by in memory; on JetStream seconds go by themselves."""


@pytest.fixture(params=["memory", "jetstream"])
async def bench(request: pytest.FixtureRequest, nats_url: str) -> AsyncIterator[Bench]:
    if request.param == "memory":
        now = 0.0

        async def pass_by() -> None:
            nonlocal now
            now += 1

        memory = MemoryCache(lambda: now)
        yield Bench(memory, memory.lose, pass_by)
        return
    client = await connect(nats_url, "conformance")
    js = jetstream(client)
    yield Bench(
        JetStreamCache(client), lambda: js.delete_stream(subjects.CACHES_STREAM), client.flush
    )
    await client.close()


@pytest.fixture
def cache(bench: Bench) -> Cache:
    return bench.cache


async def kept(cache: Cache, key: str, value: bytes = b"value", ttl_seconds: int = 60) -> str:
    """The generation under which it was put."""
    generation = await cache.generation(PLANS)
    await cache.put(PLANS, generation, key, value, ttl_seconds=ttl_seconds)
    return generation


async def test_what_was_put_is_read_under_its_generation(cache: Cache) -> None:
    generation = await kept(cache, "one", b"first")
    await kept(cache, "one", b"second")
    assert await cache.get(PLANS, generation, "one") == b"second"
    assert await cache.get(PLANS, generation, "two") is None
    assert await cache.get(OTHER, generation, "one") is None


async def test_a_generation_stays_until_it_is_invalidated(cache: Cache) -> None:
    assert await cache.current(PLANS) is None
    first = await cache.generation(PLANS)
    assert (await cache.generation(PLANS), await cache.current(PLANS)) == (first, first)
    second = await cache.invalidate(PLANS)
    assert second != first
    assert await cache.generation(PLANS) == second


async def test_all_who_read_first_share_one_generation(cache: Cache) -> None:
    made = await asyncio.gather(*(cache.generation(PLANS) for _ in range(20)))
    assert set(made) == {await cache.generation(PLANS)}


async def test_an_invalidation_is_of_its_namespace_alone(cache: Cache) -> None:
    generation = await kept(cache, "one")
    await cache.invalidate(OTHER)
    assert await cache.generation(PLANS) == generation


@pytest.mark.rule("maintenance-cache")
async def test_what_was_loaded_before_an_invalidation_is_put_where_nobody_reads(
    cache: Cache,
) -> None:
    before = await cache.generation(PLANS)
    await cache.invalidate(PLANS)
    await cache.put(PLANS, before, "one", b"old", ttl_seconds=60)
    assert await cache.get(PLANS, await cache.generation(PLANS), "one") is None


async def test_invalidations_at_once_leave_a_generation_of_none_before(cache: Cache) -> None:
    before = await kept(cache, "one")
    made = await asyncio.gather(*(cache.invalidate(PLANS) for _ in range(5)))
    assert before not in made
    assert await cache.generation(PLANS) in made


@pytest.mark.rule("maintenance-cache")
async def test_no_generation_comes_again_after_the_bucket_was_lost(bench: Bench) -> None:
    cache = bench.cache
    held = await kept(cache, "one", b"old")
    await bench.lose()
    assert await cache.survey() == []
    after = await cache.generation(PLANS)
    # A reader that slept meanwhile.
    await cache.put(PLANS, held, "one", b"old", ttl_seconds=60)
    assert after != held
    assert await cache.get(PLANS, after, "one") is None


async def test_a_put_and_an_invalidation_make_a_lost_bucket_again(bench: Bench) -> None:
    held = await kept(bench.cache, "one")
    await bench.lose()
    await bench.cache.put(PLANS, held, "one", b"value", ttl_seconds=60)
    assert await bench.cache.get(PLANS, held, "one") == b"value"
    await bench.lose()
    assert await bench.cache.invalidate(PLANS) == await bench.cache.generation(PLANS)


@pytest.mark.rule("maintenance-cache")
async def test_an_expired_value_is_gone_from_the_bucket(bench: Bench) -> None:
    cache = bench.cache
    generation = await kept(cache, "short", ttl_seconds=1)
    await kept(cache, "long")
    async with asyncio.timeout(20):
        while await cache.survey() != [Kept(PLANS, generation, 1)]:
            await bench.wait()
    assert await cache.get(PLANS, generation, "short") is None
    assert await cache.get(PLANS, generation, "long") is not None


async def test_a_value_that_is_too_large_is_not_kept(cache: Cache) -> None:
    large = await kept(cache, "large", b"." * MAX_CONTENT_BYTES)
    await kept(cache, "larger", b"." * (MAX_CONTENT_BYTES + 1))
    assert await cache.survey() == [Kept(PLANS, large, 1)]


@pytest.mark.rule("maintenance-cache")
async def test_a_generation_is_removed_with_its_values_and_no_other(cache: Cache) -> None:
    first = await kept(cache, "one")
    await kept(cache, "two")
    second = await cache.invalidate(PLANS)
    await kept(cache, "one")
    assert sorted(await cache.survey()) == sorted([Kept(PLANS, first, 2), Kept(PLANS, second, 1)])
    await cache.remove(PLANS, first)
    assert await cache.survey() == [Kept(PLANS, second, 1)]
    assert await cache.generation(PLANS) == second
