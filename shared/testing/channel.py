"""A channel in memory: what was sent, and what a test has it answer."""

from __future__ import annotations

import asyncio

from shared.notify.channel import ChannelName, Letter


class MemoryChannel:
    """See Channel. Set `failure` to refuse, clear `open` to hang."""

    def __init__(
        self,
        name: ChannelName = "webhook",
        *,
        needs_address: bool = False,
        timeout_seconds: float = 10.0,
    ):
        self.name: ChannelName = name
        self.needs_address = needs_address
        self.timeout_seconds = timeout_seconds
        self.sent: list[Letter] = []
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Semaphore(0)
        """Released once for each letter that comes in."""

    async def send(self, letter: Letter) -> None:
        """See Channel."""
        self.entered.release()
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.sent.append(letter)
