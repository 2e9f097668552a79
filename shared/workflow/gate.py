"""Lets many runs pass side by side, or one alone: what may take its process down with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Gate:
    """Who wants to be alone waits for the others to leave, and keeps new ones out meanwhile."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def beside_others(self) -> AsyncGenerator[None]:
        """Passes as one of many."""
        async with self._turn:
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Passes when nobody else is inside, and lets nobody in."""
        async with self._turn:
            await self._empty.wait()
            yield
