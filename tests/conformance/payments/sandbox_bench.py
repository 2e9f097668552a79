"""The sandbox, driven from both sides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import asyncpg
import msgspec

from services.billing.payments.sandbox import SIGNATURE_HEADER, SandboxProvider
from services.billing.payments.sandbox_events import SandboxEvent
from services.billing.payments.signature import sign
from shared.runtime.config import Secret
from shared.testing.clocks import ManualClock
from tests.conformance.payments.bench import Webhook

SECRET = "whsec_sandbox"


class SandboxBench:
    """See Bench."""

    signature_header = SIGNATURE_HEADER

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self.clock = ManualClock()
        self._pool = pool
        self.pending_methods = {
            True: "sandbox_pending_3_days_then_succeeds",
            False: "sandbox_pending_3_days_then_declines",
        }
        self.provider = SandboxProvider(pool, self.clock, Secret(SECRET))

    async def unanswered_method(self, *, charged: bool) -> str:
        return f"sandbox_timeout_{'after' if charged else 'before'}_charging"

    async def go_down(self) -> None:
        await self.provider.go_down(self.clock.now() + timedelta(days=1))

    async def settle(self) -> None:
        self.clock.advance(timedelta(days=3))

    async def confirm(self, key: str) -> None:
        await self.provider.confirm(key)

    async def dispute(self, key: str) -> None:
        await self.provider.dispute(key)

    async def webhooks(self) -> list[Webhook]:
        taken: list[Webhook] = []

        async def post(body: bytes, headers: Mapping[str, str]) -> bool:
            taken.append((body, headers))
            return True

        await self.provider.deliver(post)
        return taken

    async def known_of_customers(self) -> str:
        rows = await self._pool.fetch("SELECT c::text AS told FROM sandbox_customers AS c")
        return "\n".join(row["told"] for row in rows)

    async def unknown_webhook(self) -> Webhook:
        now = self.clock.now()
        body = msgspec.json.encode(SandboxEvent(id="evt_1", type="payout.paid", created=now))
        return body, {SIGNATURE_HEADER: sign(SECRET, body, now)}
