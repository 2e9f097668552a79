"""Which errors of NATS pass by themselves, and a short patience with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import TypeVar

import nats.errors
from nats.js.errors import (
    APIError,
    NoStreamResponseError,
    ServerError,
    ServiceUnavailableError,
)

from shared.workflow.errors import Transient

T = TypeVar("T")

PASSING = (
    NoStreamResponseError,
    ServerError,
    ServiceUnavailableError,
    TimeoutError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.NoRespondersError,
    nats.errors.OutboundBufferLimitError,
    nats.errors.StaleConnectionError,
    OSError,
)
"""A lost connection, a server that starts, a change of leader."""

STILL_IN_PROCESS = 10158
NO_SUITABLE_PEERS = 10005
PASSING_CODES = (STILL_IN_PROCESS, NO_SUITABLE_PEERS)
"""JetStream's error codes that pass too, both of a cluster: a message whose first copy is not yet
on enough nodes, and a stream for whose copies not enough nodes have met yet."""

DELAYS_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""Covers a leader change or a quick restart; who needs longer retries at its own pace."""


Lost = Callable[[], Awaitable[None]]
"""Makes streams exist again; raises Transient while JetStream is away."""


async def patiently(
    what: str,
    exchange: Callable[[], Awaitable[T]],
    *,
    lost: Lost | None = None,
    codes: Collection[int] = PASSING_CODES,
) -> T:
    """The exchange's answer, after a few more attempts if need be.

    The exchange must be safe to repeat: one that timed out may have taken effect. If no stream
    takes it, the last attempts follow upon `lost`. Raises Transient, naming `what`, when no
    attempt succeeds.
    """
    for delay_seconds in DELAYS_SECONDS:
        try:
            return await exchange()
        except (*PASSING, APIError) as error:
            _require_passing(error, codes)
            await asyncio.sleep(delay_seconds)
    try:
        return await exchange()
    except (*PASSING, APIError) as error:
        _require_passing(error, codes)
        if lost is not None and isinstance(error, NoStreamResponseError):
            await lost()
            return await patiently(what, exchange)
        raise Transient(f"{what}: {str(error) or type(error).__name__}") from error


def _require_passing(error: Exception, codes: Collection[int]) -> None:
    if isinstance(error, PASSING):
        return
    if not (isinstance(error, APIError) and error.err_code in codes):
        raise error


class Together:
    """An attempt that all who ask for it at once share."""

    def __init__(self, attempt: Callable[[], Coroutine[None, None, None]]):
        self._attempt = attempt
        self._running: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Returns when the attempt has succeeded; raises what it does."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._attempt())
        # Whoever gives up waiting takes it from nobody else.
        await asyncio.shield(self._running)

    @property
    def running(self) -> bool:
        """Whether an attempt is on its way."""
        return self._running is not None and not self._running.done()
