"""Waiting with an end, whatever it is that is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_abandoned: set[asyncio.Task[Any]] = set()
"""Kept here, since the loop alone would let go of them."""


async def bounded(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What the work comes to. Raises TimeoutError after `seconds`.

    asyncio.timeout would wait until the work has taken note of its cancellation, and a library that
    is about to say goodbye to a frozen server never does: such work is left behind.
    """
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        _abandon(task)
        raise
    if done:
        return task.result()
    _abandon(task)
    raise TimeoutError(f"no answer within {seconds:g} s")


def _abandon(task: asyncio.Task[Any]) -> None:
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        # Taken note of, or the loop would report it as never looked at.
        task.exception()
