"""Billing from outside: what customers, operators and banks do, and what finance reads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import aiohttp
import asyncpg
import msgspec

from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from shared.messages.billing import (
    Balances,
    Customer,
    Invoice,
    Invoices,
    PaymentAttempt,
    Subscription,
)
from shared.messages.invariants import Violations
from shared.messages.notices import OPERATORS
from shared.runtime.clocks import VirtualClock
from shared.runtime.config import Secret
from tests.acceptance.two_months import PRICES_MINOR, TRIAL, Account, Act, Story, day

T = TypeVar("T")

CURRENCY = "EUR"
CASH = "cash:sandbox"
NOTICES = """
    SELECT id, name, recipient, data ->> 'subscriptionId' AS subscription,
           data ->> 'actionUrl' AS link, created_at
    FROM notices
"""


class Subscriber(NamedTuple):
    """A customer with the one subscription."""

    story: Story
    customer_id: UUID
    subscription_id: UUID


class Told(NamedTuple):
    """A notice."""

    id: int
    name: str
    recipient: str
    subscription: str | None
    link: str | None
    """Where the payment is to be confirmed."""
    created_at: datetime


class Office:
    """Asks the gateway; reads the notices, and the sandbox's books, where they are written."""

    def __init__(self, http: aiohttp.ClientSession, database: asyncpg.Pool[asyncpg.Record]):
        self._http = http
        self._database = database
        self._told: dict[int, Told] = {}

    # -- what people do --------------------------------------------------------------------------

    async def offer_plans(self) -> None:
        """Creates the plans."""
        for name, price_minor in PRICES_MINOR.items():
            plan = {"id": name, "name": name, "priceMinor": price_minor, "currency": CURRENCY}
            await self._send("POST", "/api/plans", {**plan, "interval": "month"})

    async def subscribe(self, story: Story) -> Subscriber:
        """A customer begins the trial."""
        person = {"currency": CURRENCY, "paymentMethod": story.payment_method}
        customer = await self._post("/api/customers", person, Customer)
        order = {"customerId": str(customer.id), "planId": "basic", "trialDays": TRIAL.days}
        subscription = await self._post("/api/subscriptions", order, Subscription)
        return Subscriber(story, customer.id, subscription.id)

    async def run(self, subscriber: Subscriber) -> None:
        """Starts the customer's run, as an operator may at any time."""
        body = {"customerId": str(subscriber.customer_id)}
        await self._send("POST", "/api/workflows/customer", body)

    async def act(self, subscriber: Subscriber, act: Act) -> None:
        """Has a person do it; the clock stands at the act's instant."""
        customer = f"/api/customers/{subscriber.customer_id}"
        subscription = f"/api/subscriptions/{subscriber.subscription_id}"
        match act.deed:
            case "cancel":
                await self._send("POST", f"{subscription}/cancel", {})
            case "cancel_at_period_end":
                await self._send("POST", f"{subscription}/cancel", {"atPeriodEnd": True})
            case "uncancel":
                await self._send("POST", f"{subscription}/uncancel", {})
            case "new_card":
                card = {"paymentMethod": "pm_card_visa"}
                await self._send("PUT", f"{customer}/payment-method", card)
            case "change_to_pro":
                await self._send("PUT", f"{subscription}/plan", {"planId": "pro"})
            case "pay_now":
                invoice = await self._open_invoice(subscriber)
                await self._send("POST", f"/api/invoices/{invoice.id}/pay", {})
            case "dispute_lost":
                invoice = await self._open_invoice(subscriber)
                await self._send(
                    "POST", f"/api/invoices/{invoice.id}/resolve", {"resolution": "lost"}
                )
            case "confirm":
                invoice = await self._open_invoice(subscriber)
                await self._bank(act.at).confirm(invoice.attempts[-1].key)

    # -- what finance reads ----------------------------------------------------------------------

    async def read_notices(self) -> None:
        """Keeps what has been told: the cleanup of a canceled subscription deletes it."""
        for row in await self._database.fetch(NOTICES):
            told = Told(**dict(row))
            self._told[told.id] = told

    async def account(self, subscriber: Subscriber, books: Iterable[Booked]) -> Account:
        """How the customer stands."""
        customer_id = subscriber.customer_id
        customer = await self._get(f"/api/customers/{customer_id}", Customer)
        subscription = await self._get(
            f"/api/subscriptions/{subscriber.subscription_id}", Subscription
        )
        invoices = (await self._invoices(subscriber))[::-1]
        balances = await self._get(f"/api/customers/{customer_id}/balances", Balances)
        requests = {each.key: each.requests for each in books}
        return Account(
            ends=_ending(subscription, customer),
            invoices="; ".join(each.state for each in invoices),
            payments="; ".join(_payments(each, requests) for each in invoices),
            told=", ".join(self._told_of(subscriber)),
            ledger=_ledger(balances),
        )

    async def cash(self, subscriber: Subscriber) -> int:
        """What the ledger says that the provider holds of a customer's money."""
        found = await self._get(f"/api/customers/{subscriber.customer_id}/balances", Balances)
        return sum(each.amount_minor for each in found.balances if each.account == CASH)

    async def ledger(self) -> int:
        """The sum of all entries, of which there are some."""
        total: int = await self._database.fetchval("SELECT sum(amount_minor) FROM ledger_entries")
        return total

    async def in_flight(self, subscriber: Subscriber) -> list[PaymentAttempt]:
        """Attempts whose end nobody knows yet, and money that is still to go back."""
        attempts = [each for one in await self._invoices(subscriber) for each in one.attempts]
        return [each for each in attempts if each.finished_at is None or each.refund == "due"]

    async def violations(self) -> Violations:
        """What breaks an invariant."""
        return await self._get("/api/billing/invariants", Violations)

    async def books(self, now: datetime) -> list[Booked]:
        """The sandbox's own."""
        return await self._bank(now).books()

    def _told_of(self, subscriber: Subscriber) -> list[str]:
        return [
            f"{day(each.created_at)} {each.name}"
            + (f" ({OPERATORS})" if each.recipient == OPERATORS else "")
            + (" with a link" if each.link else "")
            for each in sorted(self._told.values(), key=lambda told: (told.created_at, told.id))
            if each.subscription == str(subscriber.subscription_id)
        ]

    async def _open_invoice(self, subscriber: Subscriber) -> Invoice:
        [invoice] = [each for each in await self._invoices(subscriber) if each.state == "open"]
        return invoice

    async def _invoices(self, subscriber: Subscriber) -> tuple[Invoice, ...]:
        """The newest first, each with its attempts."""
        path = f"/api/customers/{subscriber.customer_id}/invoices"
        return (await self._get(path, Invoices)).invoices

    def _bank(self, now: datetime) -> SandboxProvider:
        return SandboxProvider(self._database, VirtualClock(now), Secret("nobody reads it"))

    async def _get(self, path: str, answer: type[T]) -> T:
        return msgspec.json.decode(await self._send("GET", path), type=answer)

    async def _post(self, path: str, body: Any, answer: type[T]) -> T:
        return msgspec.json.decode(await self._send("POST", path, body), type=answer)

    async def _send(self, method: str, path: str, body: Any = None) -> bytes:
        async with self._http.request(method, path, json=body) as response:
            read = await response.read()
            assert response.status < 300, f"{method} {path}: {response.status} {read.decode()}"
        return read


def taken(books: Iterable[Booked], subscriber: Subscriber, now: datetime) -> int:
    """What the provider has of a customer's money: neither given back nor taken back by a bank."""
    return sum(
        each.amount_minor - each.refunded_minor
        for each in books
        if each.subscription == str(subscriber.subscription_id)
        and each.state == "succeeded"
        and (each.disputed_at is None or each.disputed_at > now)
    )


def _ending(subscription: Subscription, customer: Customer) -> str:
    if subscription.canceled_at is not None:
        forgotten = customer.anonymised_at
        later = "" if forgotten is None else f", forgotten on day {day(forgotten)}"
        return (
            f"canceled on day {day(subscription.canceled_at)} ({subscription.cancel_reason}){later}"
        )
    if subscription.past_due_since is not None:
        return f"past due since day {day(subscription.past_due_since)}"
    return f"{subscription.status} until day {day(subscription.current_period_end)}"


def _payments(invoice: Invoice, requests: dict[str, int]) -> str:
    return ", ".join(_payment(each, requests.get(each.key, 1)) for each in invoice.attempts)


def _payment(attempt: PaymentAttempt, requests: int) -> str:
    sent, finished = day(attempt.sent_at), attempt.finished_at
    if finished is None:
        days = f"{sent}-"
    else:
        days = f"{sent}" if day(finished) == sent else f"{sent}-{day(finished)}"
    outcome = "paid" if attempt.state == "succeeded" else attempt.state
    back = ", given back" if attempt.refund == "refunded" else ""
    by = "" if attempt.initiator in {"cycle", "dunning"} else f" ({attempt.initiator})"
    often = "" if requests == 1 else f" (sent {requests} times)"
    return f"{days} {outcome}{back}{by}{often}"


def _ledger(balances: Balances) -> str:
    return ", ".join(
        f"{each.account.partition(':')[0]} {each.amount_minor // 100}"
        for each in sorted(balances.balances, key=lambda balance: balance.account)
        if each.amount_minor
    )
