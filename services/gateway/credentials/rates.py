"""How often a credential may ask: a token bucket each, in this process's memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

import msgspec

from services.gateway.credentials.caller import Caller
from shared.messages.problems import Refused

BURST_SECONDS = 2.0
"""A credential that was silent may send so many seconds' requests at once."""
MAX_BUCKETS = 10_000


class TooMany(Refused):
    """Asked too often; `retry_after_seconds` says when to come again."""

    def __init__(self, code: str, detail: str, retry_after_seconds: int):
        super().__init__(code, detail, status=429)
        self.retry_after_seconds = retry_after_seconds


class _Bucket(msgspec.Struct):
    tokens: float
    at: float
    rate: float

    def fill(self, now: float) -> None:
        limit = burst(self.rate)
        self.tokens = min(limit, self.tokens + (now - self.at) * self.rate)
        self.at = now


def burst(rate_per_second: float) -> float:
    """The most requests at once; one at least, or a slow rate would let none through."""
    return max(1.0, rate_per_second * BURST_SECONDS)


class Rates:
    """`default_per_second` counts for whom no rate of its own was set; 0: no limit."""

    def __init__(self, default_per_second: float, now_seconds: Callable[[], float] = monotonic):
        self._default = default_per_second
        self._now_seconds = now_seconds
        self._buckets: dict[str, _Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: Caller) -> None:
        """Counts one request. Raises TooMany."""
        rate = self._default if caller.rate_per_second is None else caller.rate_per_second
        if rate == 0:
            return
        now = self._now_seconds()
        bucket = self._buckets.get(caller.actor)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[caller.actor] = _Bucket(burst(rate), now, rate)
            self._forget(now)
        bucket.fill(now)
        if bucket.tokens < 1:
            wait_seconds = math.ceil((1 - bucket.tokens) / rate)
            raise TooMany(
                "too_many_requests",
                f"this credential may ask {rate:g} times a second",
                wait_seconds,
            )
        bucket.tokens -= 1

    def _forget(self, now: float) -> None:
        """A bucket that is full again is like one that is not there."""
        if len(self._buckets) <= MAX_BUCKETS:
            return
        for actor, bucket in list(self._buckets.items()):
            bucket.fill(now)
            if bucket.tokens >= burst(bucket.rate):
                del self._buckets[actor]
        while len(self._buckets) > MAX_BUCKETS // 2:
            del self._buckets[next(iter(self._buckets))]
