"""A renewal's surroundings: the harness, the sandbox with books of its own, one subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg

import services.billing
from services.billing.models import ProviderCustomer
from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from services.billing.saga.state import MethodChanged, SagaEvent
from services.billing.store import INVARIANTS
from services.billing.transitions import Applied, happen
from services.billing.workflows.renewal import RenewalWorkflow
from shared.messages.events import Event
from shared.messages.invariants import Violation
from shared.messages.workflows import RenewalChanged, StartRenewal, StartSubscriptionCleanup
from shared.postgres.invariants import InvariantStore
from shared.runtime.config import Secret
from shared.testing.handle import Handle
from shared.testing.harness import Harness
from shared.workflow.context import WorkflowContext
from shared.workflow.ports import Connection
from shared.workflow.registry import Registration, register

SQL = Path(services.billing.__path__[0]) / "sql"

WITHOUT_A_SWEEP = {
    name: statement
    for name, statement in INVARIANTS.items()
    if name != "a_period_over_is_being_billed"
}
"""A period that is over is billed by somebody only where there is a sweep."""


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
    period_start: datetime = field(init=False)

    async def subscribe(
        self, payment_method: str | None, status: str = "active", timezone: str = "UTC"
    ) -> None:
        """A monthly subscription whose next period begins now."""
        self.period_start = now = self.harness.now
        async with self.harness.connection() as connection:
            await connection.execute(
                """
                INSERT INTO customers (id, email, tz, currency, payment_method, created_at)
                VALUES ($1, 'ada@example.org', $4, 'EUR', $2, $3)
                """,
                self.customer_id,
                payment_method,
                now,
                timezone,
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
                now.astimezone(ZoneInfo(timezone)).replace(tzinfo=None),
                now,
            )

    async def renew(self) -> Handle:
        """Starts the renewal of the period that begins now."""
        self.period_start = self.harness.now
        return await self._start("")

    async def renew_again(self) -> Handle:
        """Starts it again, since a chargeback has opened its invoice."""
        return await self._start("-r1")

    async def _start(self, suffix: str) -> Handle:
        return await self.harness.start(
            StartRenewal(
                id=f"renewal-{self.subscription_id}-{self.period_start:%Y%m%dT%H%M%SZ}{suffix}",
                subscription_id=self.subscription_id,
                period_start=self.period_start,
            )
        )

    async def happen(self, event: SagaEvent) -> Applied:
        """Has something happen to the period that the renewal did not do."""
        async with self.harness.connection() as connection:
            return await self.happen_on(connection, event)

    async def happen_on(self, connection: Connection, event: SagaEvent) -> Applied:
        """The same on a connection of one's own."""
        told: list[Event] = []
        await connection.execute("BEGIN")
        try:
            applied = await happen(
                connection,
                self.subscription_id,
                event,
                now=self.harness.now,
                actor="test",
                publish=told.append,
                period_start=self.period_start,
                provider=self.sandbox.name,
            )
        except BaseException:
            await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")
        return applied

    async def pay_by(self, renewal: Handle, payment_method: str) -> None:
        """The customer gives another payment method."""
        async with self.harness.connection() as connection:
            await connection.execute(
                "UPDATE customers SET payment_method = $2 WHERE id = $1",
                self.customer_id,
                payment_method,
            )
        await self.happen(MethodChanged())
        await self.tell(renewal)

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

    async def attempt_days(self) -> list[float]:
        """When the attempts of the last period were made, in days after it began."""
        rows = await self.harness.rows("SELECT created_at FROM payment_attempts ORDER BY id")
        return [(row[0] - self.period_start) / timedelta(days=1) for row in rows]

    async def balances(self) -> dict[str, int]:
        """What each account of the ledger has, none that has nothing."""
        rows = await self.harness.rows(
            "SELECT account, sum(amount_minor)::bigint FROM ledger_entries GROUP BY account"
        )
        return {row[0]: row[1] for row in rows if row[1]}

    async def notices(self) -> list[str]:
        """The names of what was told, in order."""
        return [row[0] for row in await self.harness.rows("SELECT name FROM notices ORDER BY id")]

    async def broken(self) -> list[Violation]:
        """What is in the tables and must never be there; nobody sweeps here, so a period that is
        over is billed by nobody."""
        async with self.harness.connection() as connection:
            found = await InvariantStore(connection, WITHOUT_A_SWEEP).broken(self.harness.now)
        return list(found.violations)

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
