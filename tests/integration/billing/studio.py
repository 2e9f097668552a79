"""Billing's handlers on a real PostgreSQL: what a studio and its provider send, without NATS."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from services.billing.handlers import FACTS, QUERIES, commands
from services.billing.models import Initiator, Payment, ProviderEventKind
from services.billing.payments.sandbox import SIGNATURE_HEADER, SandboxProvider
from services.billing.payments.sandbox_events import SandboxEvent
from services.billing.payments.signature import sign
from services.billing.provider_events import Arrival, ProviderEvents
from services.billing.saga.state import Opened, SagaEvent, Sent, Succeeded
from services.billing.store import INVARIANTS
from services.billing.transitions import Applied, happen
from shared.messages.base import Message
from shared.messages.billing import (
    ByCustomer,
    ByInvoice,
    BySubscription,
    CreateCustomer,
    CreatePlan,
    CreateSubscription,
    Invoice,
    Invoices,
    Limits,
    PageOfCustomer,
    Plan,
    ProviderWebhook,
    Subscription,
    Subscriptions,
    WebhookTaken,
)
from shared.messages.events import Event
from shared.messages.problems import Refused
from shared.messages.workflows import Trigger
from shared.postgres.invariants import InvariantStore
from shared.runtime.config import Secret
from shared.runtime.handling import AnyHandler, Work
from shared.testing.clocks import ManualClock
from shared.workflow.records import OutboxMessage

M = TypeVar("M", bound=Message)

SECRET = "whsec_of_the_tests"


class Studio:
    """Sends requests, facts and webhooks, each in a transaction of its own as the service does."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]):
        self.pool = pool
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.triggers: list[Trigger] = []
        self.messages: list[OutboxMessage] = []
        sandbox = SandboxProvider(pool, self.clock, Secret(SECRET))
        handlers = (*commands({"sandbox": sandbox}), *FACTS)
        self._handlers = {handler.name: handler for handler in handlers}
        self._queries = {handler.name: handler for handler in QUERIES}

    @property
    def now(self) -> datetime:
        """Business time."""
        return self.clock.now()

    async def do(self, answer: type[M], name: str, message: Message) -> M:
        """Carries out a command or a fact."""
        return await self._handle(answer, self._handlers[name], message)

    async def ask(self, answer: type[M], name: str, message: Message) -> M:
        """Asks a query."""
        return await self._handle(answer, self._queries[name], message)

    async def refusal(self, name: str, message: Message) -> Refused:
        """Why a command or a query is refused."""
        handler = self._handlers.get(name) or self._queries[name]
        with pytest.raises(Refused) as refused:
            await self._handle(Message, handler, message)
        return refused.value

    async def _handle(self, answer: type[M], handler: AnyHandler, message: Message) -> M:
        assert isinstance(message, handler.message)
        async with self.pool.acquire() as connection, connection.transaction():
            work = Work(connection, self.now, "tester", str(uuid4()))
            reply = await handler.handle(work, message)
        self.events += work.events
        self.triggers += work.triggers
        self.messages += work.messages
        assert isinstance(reply, answer)
        return reply

    # -- what there is ---------------------------------------------------------------------------

    async def customer(self, **fields: Any) -> UUID:
        """A new customer, who pays EUR by card unless told otherwise."""
        given = {"currency": "EUR", "payment_method": "pm_card_visa", **fields}
        request = CreateCustomer(id=uuid4(), **given)
        await self.do(Message, "create_customer", request)
        assert request.id is not None
        return request.id

    async def plan(self, plan_id: str = "pro", **fields: Any) -> Plan:
        """A new plan: EUR 9.99 a month unless told otherwise."""
        given: dict[str, Any] = {
            "name": plan_id.capitalize(),
            "price_minor": 999,
            "currency": "EUR",
            "interval": "month",
            "limits": Limits(),
            **fields,
        }
        return await self.do(Plan, "create_plan", CreatePlan(id=plan_id, **given))

    async def subscription(self, **fields: Any) -> Subscription:
        """A new subscription of a new customer to a new plan, incomplete."""
        if "plan_id" not in fields:
            fields["plan_id"] = (await self.plan()).id
        if "customer_id" not in fields:
            fields["customer_id"] = await self.customer()
        return await self.do(Subscription, "create_subscription", CreateSubscription(**fields))

    async def find(self, subscription_id: UUID) -> Subscription:
        """The subscription as it is now."""
        request = BySubscription(subscription_id=subscription_id)
        return await self.ask(Subscription, "subscription", request)

    async def invoice(self, invoice_id: UUID) -> Invoice:
        """The invoice as it is now."""
        return await self.ask(Invoice, "invoice", ByInvoice(invoice_id=invoice_id))

    async def last_invoice(self, subscription: Subscription) -> Invoice:
        """The customer's newest invoice."""
        page = PageOfCustomer(customer_id=subscription.customer_id, limit=1)
        return (await self.ask(Invoices, "invoices", page)).invoices[0]

    async def broken(self) -> set[str]:
        """The invariants that do not hold."""
        async with self.pool.acquire() as connection:
            found = await InvariantStore(connection, INVARIANTS).broken(self.now)
        return {each.invariant for each in found.violations}

    async def subscriptions(self, customer_id: UUID) -> tuple[Subscription, ...]:
        """A customer's."""
        request = ByCustomer(customer_id=customer_id)
        return (await self.ask(Subscriptions, "subscriptions", request)).subscriptions

    # -- what happens to a payment ---------------------------------------------------------------

    async def happen(self, subscription_id: UUID, *events: SagaEvent, **more: Any) -> Applied:
        """Has events happen as the renewal would have them; the last one's outcome."""
        applied = None
        for event in events:
            async with self.pool.acquire() as connection, connection.transaction():
                applied = await happen(
                    connection,
                    subscription_id,
                    event,
                    now=self.now,
                    actor="tester",
                    publish=self.events.append,
                    provider="sandbox",
                    **more,
                )
        assert applied is not None
        return applied

    async def charged(self, **fields: Any) -> Invoice:
        """The invoice of a new subscription, whose first attempt was just sent."""
        return await self.charged_again(await self.subscription(**fields))

    async def charged_again(self, subscription: Subscription) -> Invoice:
        """The next invoice of a subscription, whose first attempt was just sent."""
        await self.happen(subscription.id, Opened(), Sent(number=1, initiator=Initiator.CYCLE))
        return await self.last_invoice(subscription)

    async def paid(self, **fields: Any) -> Invoice:
        """The invoice of a new subscription, paid."""
        invoice = await self.charged(**fields)
        await self.happen(invoice.subscription_id, Succeeded())
        return await self.invoice(invoice.id)

    # -- what the provider tells -----------------------------------------------------------------

    async def webhook(
        self,
        kind: ProviderEventKind,
        payment: Payment,
        *,
        event_id: str = "evt_1",
        type_: str | None = None,
    ) -> WebhookTaken:
        """Delivers an event, signed at this instant."""
        return await self.do(
            WebhookTaken,
            "provider_webhook",
            self.signed(type_ or f"payment.{kind}", payment, event_id=event_id),
        )

    def signed(
        self, type_: str, payment: Payment, *, event_id: str = "evt_1", secret: str = SECRET
    ) -> ProviderWebhook:
        """The webhook as the gateway passes it on."""
        event = SandboxEvent(
            id=event_id,
            type=type_,
            created=self.now,
            payment=msgspec.Raw(msgspec.json.encode(payment)),
        )
        body = msgspec.json.encode(event)
        headers = {SIGNATURE_HEADER: sign(secret, body, self.now)}
        return ProviderWebhook(provider="sandbox", body=body, headers=headers)

    async def apply_parked(self, key: str) -> list[Arrival]:
        """What the renewal does once the attempt is written."""
        async with self.pool.acquire() as connection, connection.transaction():
            events = ProviderEvents(connection, "sandbox", now=self.now, publish=self.events.append)
            return await events.take_parked(key)

    async def kept(self) -> list[tuple[str, str]]:
        """The provider's events that are kept, with what became of them."""
        rows = await self.pool.fetch(
            "SELECT event_id, outcome FROM provider_events ORDER BY received_at, event_id"
        )
        return [(row["event_id"], row["outcome"]) for row in rows]

    async def notices(self) -> list[tuple[str, str]]:
        """Names and recipients of what was told."""
        rows = await self.pool.fetch("SELECT name, recipient FROM notices ORDER BY id")
        return [(row["name"], row["recipient"]) for row in rows]
