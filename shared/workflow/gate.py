"""Lets many runs pass side by side, or one alone: what may take its process down with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from shared.workflow.errors import Crowded


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
    async def alone(self, wait_seconds: float | None = None) -> AsyncGenerator[None]:
        """Passes when nobody else is inside, and lets nobody in. Raises Crowded when they
        have not left in time: one that hangs must not keep this one's worker too."""
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(wait_seconds):
                    await turn.enter_async_context(self._turn)
                    await self._empty.wait()
            except TimeoutError as error:
                raise Crowded from error
            yield
