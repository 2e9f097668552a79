"""The caches in memory, for tests without servers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import monotonic

from shared.jetstream.cache import Kept
from shared.messages.base import MAX_CONTENT_BYTES


class MemoryCache:
    """See shared.jetstream.cache."""

    def __init__(self, monotonic: Callable[[], float] = monotonic):
        self._monotonic = monotonic
        self._numbers = count(1)
        self._current: dict[str, str] = {}
        self._values: dict[tuple[str, str, str], tuple[bytes, float]] = {}

    async def generation(self, namespace: str) -> str:
        """See Cache."""
        return self._current.get(namespace) or await self.invalidate(namespace)

    async def current(self, namespace: str) -> str | None:
        """See Cache."""
        return self._current.get(namespace)

    async def get(self, namespace: str, generation: str, key: str) -> bytes | None:
        """See Cache."""
        self._expire()
        value, _ = self._values.get((namespace, generation, key), (None, 0))
        return value

    async def put(
        self, namespace: str, generation: str, key: str, value: bytes, *, ttl_seconds: int
    ) -> None:
        """See Cache."""
        if len(value) <= MAX_CONTENT_BYTES:
            expires_at = self._monotonic() + ttl_seconds
            self._values[namespace, generation, key] = (value, expires_at)

    async def invalidate(self, namespace: str) -> str:
        """See Cache."""
        self._current[namespace] = f"generation-{next(self._numbers)}"
        return self._current[namespace]

    async def survey(self) -> list[Kept]:
        """See Cache."""
        self._expire()
        found: dict[tuple[str, str], int] = {}
        for namespace, generation, _ in self._values:
            found[namespace, generation] = found.get((namespace, generation), 0) + 1
        return [Kept(*each, entries) for each, entries in found.items()]

    async def remove(self, namespace: str, generation: str) -> None:
        """See Cache."""
        for each in [each for each in self._values if each[:2] == (namespace, generation)]:
            del self._values[each]

    async def lose(self) -> None:
        """As a bucket that is gone."""
        self._current.clear()
        self._values.clear()

    def _expire(self) -> None:
        now = self._monotonic()
        self._values = {each: kept for each, kept in self._values.items() if kept[1] > now}
