"""Delivers the sandbox's webhooks, as a real provider does from its own house."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import aiohttp
import structlog

from services.billing.payments.provider import OutcomeUnclear, ProviderUnreachable
from services.billing.payments.sandbox import Post, SandboxProvider

POST_SECONDS = 10.0

log = structlog.get_logger()


def post_to(session: aiohttp.ClientSession, url: str) -> Post:
    """Posts to one address; 2xx has taken it."""
    timeout = aiohttp.ClientTimeout(total=POST_SECONDS)

    async def post(body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            async with session.post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                taken = 200 <= answer.status < 300
                reason = f"HTTP {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            taken, reason = False, type(error).__name__
        if not taken:
            log.warning("sandbox_webhook_refused", reason=reason)
        return taken

    return post


class SandboxPump:
    """See OwnPart: one loop per replica; `interval_seconds` is machine time."""

    name = "sandbox-webhooks"

    def __init__(self, sandbox: SandboxProvider, *, interval_seconds: float = 1.0):
        self._sandbox = sandbox
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.tick()
            except (ProviderUnreachable, OutcomeUnclear) as error:
                log.warning("sandbox_pump_failed", reason=str(error))
            await asyncio.sleep(self._interval_seconds)

    async def tick(self) -> int:
        """See OwnPart; how many webhooks were taken."""
        return await self._sandbox.deliver()

    async def earliest_at(self) -> datetime | None:
        """See OwnPart."""
        return await self._sandbox.next_due()
