"""Posts the sandbox's webhooks, as a provider's own machines do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import aiohttp
import asyncpg
import structlog

from services.billing.payments.sandbox import Post, SandboxProvider

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0
POST_SECONDS = 10.0


class WebhookPump:
    """See OwnPart: a loop over the sandbox's webhooks that are due."""

    name = "sandbox-webhooks"

    def __init__(self, sandbox: SandboxProvider, post: Post):
        self._sandbox = sandbox
        self._post = post

    async def run(self) -> None:
        """See OwnPart."""
        while True:
            try:
                await self.tick()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("sandbox_webhooks_failed", reason=str(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def tick(self) -> int:
        """See OwnPart; how many were taken."""
        return await self._sandbox.deliver(self._post)

    async def earliest_at(self) -> datetime | None:
        """See OwnPart."""
        return await self._sandbox.next_due()


def posting(session: aiohttp.ClientSession, url: str) -> Post:
    """Posts to the address; whatever goes wrong there, the webhook comes again."""

    async def post(body: bytes, headers: Mapping[str, str]) -> bool:
        timeout = aiohttp.ClientTimeout(total=POST_SECONDS)
        try:
            async with session.post(url, data=body, headers=headers, timeout=timeout) as answer:
                return answer.ok
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("sandbox_webhook_not_taken", reason=type(error).__name__)
            return False

    return post
