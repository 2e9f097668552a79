"""A renewal's surroundings: the harness, the sandbox with books of its own, one subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from services.billing.models import ProviderCustomer
from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from services.billing.workflows.renewal import RenewalWorkflow
from shared.messages.workflows import RenewalChanged, StartRenewal, StartSubscriptionCleanup
from shared.runtime.config import Secret
from shared.testing.handle import Handle
from shared.testing.harness import Harness
from shared.workflow.context import WorkflowContext
from shared.workflow.registry import Registration, register


class CleanupDouble:
    """Stands in for the cleanup, whose own tests are elsewhere."""

    kind = "subscription_cleanup"

    async def run(self, ctx: WorkflowContext, start: StartSubscriptionCleanup) -> str:
        return f"cleaned {start.subscription_id} of {ctx.workflow_id}"


@dataclass
class Following:
    """The harness's clock and connections, for parts that are made before it."""

    harness: Harness | None = None
    is_virtual: bool = True

    def now(self) -> datetime:
        return self.opened.now

    @property
    def opened(self) -> Harness:
        if self.harness is None:
            raise RuntimeError("the harness is not open yet")
        return self.harness

    async def customer(self, customer_id: UUID) -> ProviderCustomer:
        async with self.opened.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM customers WHERE id = $1", customer_id)
        return ProviderCustomer(
            customer_id=customer_id,
            email=row["email"],
            timezone=row["tz"],
            payment_method=row["payment_method"],
        )


@dataclass
class Bench:
    """One customer with one subscription that is billed from `start` on."""

    harness: Harness
    sandbox: SandboxProvider
    customer_id: UUID = field(default_factory=uuid4)
    subscription_id: UUID = field(default_factory=uuid4)

    async def subscribe(self, payment_method: str | None, status: str = "active") -> None:
        """A monthly subscription whose next period begins now."""
        now = self.harness.now
        async with self.harness.connection() as connection:
            await connection.execute(
                """
                INSERT INTO customers (id, email, tz, currency, payment_method, created_at)
                VALUES ($1, 'ada@example.org', 'UTC', 'EUR', $2, $3)
                """,
                self.customer_id,
                payment_method,
                now,
            )
            await connection.execute(
                """
                INSERT INTO plans (id, name, price_minor, currency, interval, created_at)
                VALUES ('pro', 'Pro', 999, 'EUR', 'month', $1)
                """,
                now,
            )
            await connection.execute(
                """
                INSERT INTO subscriptions (id, customer_id, plan_id, status, anchor_local, periods,
                    current_period_start, current_period_end, created_at)
                VALUES ($1, $2, 'pro', $3, $4, 0, $5, $5, $5)
                """,
                self.subscription_id,
                self.customer_id,
                status,
                now.replace(tzinfo=None),
                now,
            )

    async def renew(self) -> Handle:
        """Starts the renewal of the period that begins now."""
        return await self.harness.start(
            StartRenewal(
                id=f"renewal-{self.subscription_id}",
                subscription_id=self.subscription_id,
                period_start=self.harness.now,
            )
        )

    async def tell(self, renewal: Handle) -> None:
        """Has the renewal look again."""
        await renewal.signal(RenewalChanged())

    async def subscription(self) -> dict[str, Any]:
        """Its row."""
        async with self.harness.connection() as connection:
            return dict(
                await connection.fetchrow(
                    "SELECT * FROM subscriptions WHERE id = $1", self.subscription_id
                )
            )

    async def attempts(self) -> list[tuple[str, str]]:
        """Who asked for each attempt, and what became of it."""
        rows = await self.harness.rows(
            "SELECT initiator, state FROM payment_attempts ORDER BY number"
        )
        return [(row[0], row[1]) for row in rows]

    async def attempt_days(self, since: datetime) -> list[int]:
        """The days on which the attempts were made."""
        rows = await self.harness.rows("SELECT created_at FROM payment_attempts ORDER BY number")
        return [round((row[0] - since) / timedelta(days=1)) for row in rows]

    async def balances(self) -> dict[str, int]:
        """What each account of the ledger has, none that has nothing."""
        rows = await self.harness.rows(
            "SELECT account, sum(amount_minor)::bigint FROM ledger_entries GROUP BY account"
        )
        return {row[0]: row[1] for row in rows if row[1]}

    async def notices(self) -> list[str]:
        """The names of what was told, in order."""
        return [row[0] for row in await self.harness.rows("SELECT name FROM notices ORDER BY id")]

    async def booked(self) -> list[Booked]:
        """What the sandbox's own books say."""
        return await self.sandbox.books()


def registrations(following: Following, sandbox: SandboxProvider) -> list[Registration]:
    """The workflows of a renewal."""
    return [
        register(StartRenewal, RenewalWorkflow(sandbox, following)),
        register(StartSubscriptionCleanup, CleanupDouble()),
    ]


def sandbox_on(pool: asyncpg.Pool[asyncpg.Record], following: Following) -> SandboxProvider:
    """The sandbox in the harness's time."""
    return SandboxProvider(pool, following, Secret("whsec_test"))
