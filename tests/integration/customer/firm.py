"""A studio's customers on real servers: all of billing's workflows, its handlers, the sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from services.billing.handlers import FACTS, commands
from services.billing.payments.sandbox import SandboxProvider
from services.billing.workflows.billing_sweep import BillingSweepWorkflow
from services.billing.workflows.customer import CustomerWorkflow
from services.billing.workflows.payment_retry import PaymentRetryWorkflow
from services.billing.workflows.renewal import RenewalWorkflow
from services.billing.workflows.subscription_cleanup import SubscriptionCleanupWorkflow
from shared.messages import subjects
from shared.messages.base import Message, encode
from shared.messages.billing import (
    CancelSubscription,
    CreateCustomer,
    CreatePlan,
    CreateSubscription,
    Limits,
    SetPaymentMethod,
    Subscription,
    UsageReported,
)
from shared.messages.workflows import (
    StartBillingSweep,
    StartCustomer,
    StartPaymentRetry,
    StartRenewal,
    StartSubscriptionCleanup,
)
from shared.runtime.handling import Work
from shared.testing.handle import Handle
from shared.testing.harness import Harness
from shared.workflow.crons import Cron
from shared.workflow.ports import Connection
from shared.workflow.registry import Registration, register
from tests.integration.renewal.bench import Following

STEPS = ("subscription_status", "billing_cycle", "customer_data", "usage_analytics")
SWEEP = Cron("billing_sweep", StartBillingSweep(), "*/5 * * * *")
DECLINED = "pm_card_chargeCustomerFail"


@dataclass
class Firm:
    """Sends what a studio sends, and looks what became of it."""

    harness: Harness
    sandbox: SandboxProvider
    books: asyncpg.Pool[asyncpg.Record]
    _ids: int = field(default=0, init=False)

    @property
    def now(self) -> datetime:
        """Business time."""
        return self.harness.now

    # -- what a studio asks for ------------------------------------------------------------------

    async def do(self, name: str, message: Message) -> Any:
        """Carries out a command or a fact in a transaction, as the service does."""
        handlers = {each.name: each for each in (*commands({"sandbox": self.sandbox}), *FACTS)}
        async with self.harness.connection() as connection:
            await connection.execute("BEGIN")
            try:
                work = Work(connection, self.now, "tester", str(uuid4()))
                answer = await handlers[name].handle(work, message)
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")
        for trigger in work.triggers:
            headers = {subjects.WORKFLOW_ID: trigger.id or ""}
            await self.harness.publish(subjects.start(trigger.kind), encode(trigger), headers)
        for told in work.messages:
            await self.harness.publish(told.subject, told.body, told.headers)
        return answer

    async def plan(self, plan_id: str = "pro", **fields: Any) -> str:
        """A plan: EUR 9.99 a month unless told otherwise."""
        given: dict[str, Any] = {
            "name": plan_id,
            "price_minor": 999,
            "currency": "EUR",
            "interval": "month",
            "limits": Limits(),
            **fields,
        }
        await self.do("create_plan", CreatePlan(id=plan_id, **given))
        return plan_id

    async def customer(self, payment_method: str | None = "pm_card_visa", **fields: Any) -> UUID:
        """A customer with a mail address, who pays EUR."""
        customer_id = uuid4()
        given = {"email": "ada@example.org", "currency": "EUR", **fields}
        await self.do(
            "create_customer",
            CreateCustomer(id=customer_id, payment_method=payment_method, **given),
        )
        return customer_id

    async def subscribe(self, customer_id: UUID, plan_id: str = "pro", **fields: Any) -> UUID:
        """A subscription; without a trial it is charged at once."""
        request = CreateSubscription(customer_id=customer_id, plan_id=plan_id, **fields)
        subscription: Subscription = await self.do("create_subscription", request)
        return subscription.id

    async def subscriber(self, payment_method: str = "pm_card_visa") -> tuple[UUID, UUID]:
        """A customer with a subscription to the plan `pro`."""
        await self.plan()
        customer_id = await self.customer(payment_method)
        return customer_id, await self.subscribe(customer_id)

    async def owing(self) -> tuple[UUID, UUID]:
        """A customer whose second payment was just declined, for the first time."""
        customer_id, subscription_id = await self.subscriber()
        await self.pay_by(customer_id, DECLINED)
        await self.harness.advance_to(await self.period_end(subscription_id))
        await self.run(customer_id)
        assert await self.status(subscription_id) == "past_due"
        return customer_id, subscription_id

    async def cancel(self, subscription_id: UUID, *, at_period_end: bool) -> None:
        """Ends a subscription."""
        request = CancelSubscription(subscription_id=subscription_id, at_period_end=at_period_end)
        await self.do("cancel_subscription", request)

    async def pay_by(self, customer_id: UUID, payment_method: str) -> None:
        """The customer gives another payment method."""
        request = SetPaymentMethod(customer_id=customer_id, payment_method=payment_method)
        await self.do("set_payment_method", request)

    async def use(
        self,
        customer_id: UUID,
        quantity: int,
        *,
        metric: Any = "api_calls",
        at: datetime | None = None,
        event_id: str | None = None,
    ) -> None:
        """The customer uses something."""
        self._ids += 1
        fact = UsageReported(
            event_id=event_id or f"use-{self._ids}",
            customer_id=customer_id,
            metric=metric,
            quantity=quantity,
            at=at,
        )
        await self.do("usage", fact)

    # -- what runs -------------------------------------------------------------------------------

    async def run(self, customer_id: UUID) -> Handle:
        """The customer's run, now."""
        return await self.harness.start(StartCustomer(customer_id=customer_id))

    async def trigger(self, customer_id: UUID) -> None:
        """The same, without a look at it: for very many."""
        body = encode(StartCustomer(id=str(uuid4()), customer_id=customer_id))
        await self.harness.publish(subjects.start(StartCustomer.kind), body)

    async def runs(self) -> int:
        """How many customer runs there were."""
        return len(await self.harness.instances("customer"))

    async def sweep(self) -> Handle:
        """A sweep, now."""
        return await self.harness.start(StartBillingSweep())

    # -- what came of it -------------------------------------------------------------------------

    async def subscription(self, subscription_id: UUID) -> dict[str, Any]:
        """Its row."""
        async with self.harness.connection() as connection:
            return dict(
                await connection.fetchrow(
                    "SELECT * FROM subscriptions WHERE id = $1", subscription_id
                )
            )

    async def status(self, subscription_id: UUID) -> str:
        """Where it stands; a str, which type checkers do not narrow."""
        status: str = (await self.subscription(subscription_id))["status"]
        return status

    async def period_end(self, subscription_id: UUID) -> datetime:
        """Until when it is paid."""
        end: datetime = (await self.subscription(subscription_id))["current_period_end"]
        return end

    async def next_look(self, subscription_id: UUID) -> datetime | None:
        """When the sweep takes it next."""
        at: datetime | None = (await self.subscription(subscription_id))["next_look_at"]
        return at

    async def notices(self) -> list[str]:
        """The names of what was told, in order."""
        return [row[0] for row in await self.harness.rows("SELECT name FROM notices ORDER BY id")]

    async def count(self, table: str) -> int:
        """Rows of a table."""
        [(rows,)] = await self.harness.rows(f"SELECT count(*) FROM {table}")
        return int(rows)

    async def charges(self) -> dict[UUID, int]:
        """Successful ones in the sandbox's own books, by customer."""
        rows = await self.books.fetch(
            """
            SELECT c.customer_id, count(*) AS charges
            FROM sandbox_payments AS p JOIN sandbox_customers AS c
                ON c.reference = p.customer_reference
            WHERE p.state = 'succeeded' GROUP BY c.customer_id
            """
        )
        return {row["customer_id"]: row["charges"] for row in rows}

    async def locked(self, connection: Connection) -> None:
        """Takes every subscription's lock, as somebody else who is at work does."""
        await connection.execute("BEGIN")
        await connection.execute("SELECT FROM subscriptions FOR UPDATE")


def registrations(following: Following, sandbox: SandboxProvider) -> Iterable[Registration]:
    """All of billing's workflows; sweeps of few rows a batch."""
    return [
        register(StartCustomer, CustomerWorkflow(sandbox, following)),
        register(StartRenewal, RenewalWorkflow(sandbox, following)),
        register(StartPaymentRetry, PaymentRetryWorkflow()),
        register(StartSubscriptionCleanup, SubscriptionCleanupWorkflow()),
        register(StartBillingSweep, BillingSweepWorkflow(batch=3)),
    ]
