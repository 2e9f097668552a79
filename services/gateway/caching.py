"""Reads through the caches; cache trouble costs a moment, never an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

import structlog

from services.gateway import metrics
from shared.jetstream.cache import Cache
from shared.jetstream.requests import Unavailable
from shared.workflow.errors import Transient

log = structlog.get_logger()

PATIENCE_SECONDS = 2.0
"""So long a request waits for its cache, where its owner could answer meanwhile."""

Ask = Callable[[], Awaitable[bytes]]
"""Asks the service that owns what is asked for."""


class CachedRequests:
    """Answers from a cache, and invalidates it with each change; what is kept lasts `ttl_seconds`
    of machine time, and with 0 nothing is kept."""

    def __init__(self, cache: Cache, *, ttl_seconds: int):
        self._cache = cache
        self._ttl_seconds = ttl_seconds

    async def read(self, namespace: str, subject: str, body: bytes, ask: Ask) -> bytes:
        """The answer to a query, of the owner or as the owner gave it before. Raises what `ask`
        does."""
        if self._ttl_seconds == 0:
            return await ask()
        key = sha256(subject.encode() + b"\n" + body).hexdigest()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                # Before the owner is asked: what it says may be old by the time it is put.
                generation = await self._cache.generation(namespace)
                kept = await self._cache.get(namespace, generation, key)
        except (Transient, TimeoutError) as error:
            _away(namespace, error)
            metrics.CACHE_READS.labels(namespace, "away").inc()
            return await ask()
        metrics.CACHE_READS.labels(namespace, "miss" if kept is None else "hit").inc()
        if kept is not None:
            return kept
        answer = await ask()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._cache.put(
                    namespace, generation, key, answer, ttl_seconds=self._ttl_seconds
                )
        except (Transient, TimeoutError) as error:
            _away(namespace, error)
        return answer

    async def change(self, namespace: str, ask: Ask) -> bytes:
        """The answer to a command, whose effect every read that begins later shows. Raises what
        `ask` does."""
        try:
            answer = await ask()
        except Unavailable:
            # It may have been carried out.
            await self._invalidate(namespace)
            raise
        await self._invalidate(namespace)
        return answer

    async def _invalidate(self, namespace: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._cache.invalidate(namespace)
        except (Transient, TimeoutError) as error:
            # The owner's event does it later.
            _away(namespace, error)


def _away(namespace: str, error: Exception) -> None:
    log.warning("cache_away", namespace=namespace, reason=str(error) or "no answer in time")
