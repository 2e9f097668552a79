"""Which errors of NATS pass by themselves, and a short patience with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors
from nats.js.errors import NoStreamResponseError, ServerError, ServiceUnavailableError

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

DELAYS_SECONDS = (0.05, 0.1, 0.2, 0.4)
"""Covers a leader change or a quick restart; who needs longer retries at its own pace."""


async def patiently(what: str, exchange: Callable[[], Awaitable[T]]) -> T:
    """The exchange's answer, after a few more attempts if need be.

    The exchange must be safe to repeat: one that timed out may have taken effect. Raises
    Transient, naming `what`, when no attempt succeeds.
    """
    for delay_seconds in DELAYS_SECONDS:
        try:
            return await exchange()
        except PASSING:
            await asyncio.sleep(delay_seconds)
    try:
        return await exchange()
    except PASSING as error:
        raise Transient(f"{what}: {str(error) or type(error).__name__}") from error
