"""A provider that moves no real money: it keeps books of its own, and behaves as it is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from services.billing.models import Charge, Payment, ProviderCustomer, ProviderEvent, Refund
from services.billing.payments.behaviour import Behaviour, behaviour
from services.billing.payments.books import Booked, Books, reference_of
from services.billing.payments.outgoing import Webhook
from services.billing.payments.provider import (
    OutcomeUnclear,
    ProviderUnreachable,
    RequestRefused,
)
from services.billing.payments.sandbox_events import (
    payment_of,
    read_event,
    settle,
    tell,
    tell_booked,
)
from services.billing.payments.signature import check, find_header, sign
from shared.postgres.store import ACQUIRE_SECONDS
from shared.postgres.trouble import transient_trouble
from shared.runtime.config import Secret
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

SIGNATURE_HEADER = "Sandbox-Signature"
ACTION_URL = "https://sandbox.invalid/confirm/"

Post = Callable[[bytes, Mapping[str, str]], Awaitable[bool]]
"""Hands a webhook's body and headers over; whether they were taken, as a 2xx says."""


class SandboxProvider:
    """See PaymentProvider. Its transactions are its own: they survive their caller's rollback.

    `pool` leads to a schema with the `sandbox_…` tables and has two connections or more. `post`
    takes the webhooks, also of a charge that is told before it is answered.
    """

    name = "sandbox"

    def __init__(
        self,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Clock,
        secret: Secret,
        post: Post | None = None,
    ):
        self._pool = pool
        self._clock = clock
        self._secret = secret
        self._post = post

    async def save_customer(self, customer: ProviderCustomer) -> str:
        """See PaymentProvider."""
        async with self._reached() as books:
            return await books.save_customer(customer)

    async def forget_customer(self, customer_id: UUID, reference: str | None) -> None:
        """See PaymentProvider. The row stays for the payments that name it."""
        del reference
        async with self._reached() as books:
            await books.forget_customer(customer_id)

    async def charge(self, charge: Charge) -> Payment:
        """See PaymentProvider. Times out at once where the payment method says that it would."""
        asked = behaviour(charge.payment_method)
        if asked is None:
            raise RequestRefused(f"there is no payment method {charge.payment_method!r}")
        if charge.money.amount_minor <= 0:
            raise RequestRefused("the amount must be above 0")
        now = self._clock.now()
        async with self._reached() as books:
            if not await books.lock_customer(charge.customer_reference):
                raise RequestRefused(f"there is no customer {charge.customer_reference!r}")
            sent_before = await books.note_request(charge, now)
            away = await _is_away(books, charge.key, now)
            unanswered = asked.unanswered if sent_before == 0 else None
            payment = None
            if not away and unanswered != "before_charging":
                payment = await self._book(books, charge, asked, now)
        if away:
            raise ProviderUnreachable(f"the sandbox is down for {charge.payment_method}")
        if payment is None or unanswered is not None:
            raise OutcomeUnclear("the sandbox gave no answer")
        if asked.webhook_first and self._post is not None:
            try:
                await self._deliver(self._post, charge.key)
            except ProviderUnreachable as error:
                raise OutcomeUnclear("the sandbox gave no answer") from error
        return payment

    async def find(self, key: str) -> Payment | None:
        """See PaymentProvider."""
        now = self._clock.now()
        async with self._reached() as books:
            if await _is_away(books, key, now):
                raise ProviderUnreachable("the sandbox is down for this payment")
            await settle(books, now, key)
            found = await books.find(key)
        return None if found is None else found[1]

    async def refund(self, refund: Refund) -> Payment:
        """See PaymentProvider."""
        now = self._clock.now()
        async with self._reached() as books:
            await books.lock_payment(refund.charge_key)
            found = await books.find(refund.charge_key)
            if found is None or found[1].reference != refund.provider_reference:
                raise RequestRefused(f"there is no payment {refund.provider_reference!r}")
            known = await books.find_refund(refund.key)
            if known is None:
                _refuse_impossible(refund, found[1])
                await books.add_refund(refund, now)
                payment = await payment_of(books, refund.charge_key)
                await tell(books, "refunded", payment, now, f"evt_{refund.key}")
                return payment
            if known != (refund.charge_key, refund.money.amount_minor):
                raise RequestRefused(f"the key {refund.key} stands for another refund")
        return found[1]

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderEvent:
        """See PaymentProvider."""
        check(self._secret.reveal(), body, find_header(headers, SIGNATURE_HEADER), now)
        return read_event(body)

    # -- what a bank, a customer and the weather do ----------------------------------------------

    async def confirm(self, key: str) -> None:
        """The customer confirms a payment that waits for it."""
        async with self._books() as books:
            await books.set_end(key, self._clock.now())
            await settle(books, self._clock.now(), key)

    async def dispute(self, key: str) -> None:
        """The customer's bank takes a payment back."""
        now = self._clock.now()
        async with self._books() as books:
            await books.dispute(key, now)
            await tell(books, "disputed", await payment_of(books, key), now)

    async def go_down(self, until: datetime) -> None:
        """Answers nobody before `until`."""
        async with self._books() as books:
            await books.go_down(self._clock.now(), until)

    async def books(self) -> list[Booked]:
        """Every payment with its refunds: what a witness has to say."""
        async with self._books() as books:
            return await books.survey()

    # -- webhooks --------------------------------------------------------------------------------

    async def deliver(self, post: Post | None = None) -> int:
        """Ends pending payments whose time has come, and posts each webhook that is due once, to
        `post` or as at the construction; how many were taken. What is not taken is due again at the
        next call. Replicas may all do this: a webhook is posted by one at a time.
        """
        async with self._books() as books:
            await settle(books, self._clock.now(), None)
        chosen = post or self._post
        return 0 if chosen is None else await self._deliver(chosen, None)

    async def next_due(self) -> datetime | None:
        """When `deliver` has something to do next, in business time."""
        async with self._books() as books:
            return await books.outgoing.next_due()

    async def _deliver(self, post: Post, key: str | None) -> int:
        taken, last = 0, None
        while True:
            async with self._books() as books:
                # The row's lock is held meanwhile, so whoever freezes here is cut off by the
                # server, and another posts it again.
                last = await books.outgoing.take(self._clock.now(), last, key)
                if last is None:
                    return taken
                delivered = await post(last.body, self._headers(last))
                await books.outgoing.mark(last, self._clock.now() if delivered else None)
                taken += delivered

    def _headers(self, webhook: Webhook) -> dict[str, str]:
        signature = sign(self._secret.reveal(), webhook.body, self._clock.now())
        return {"Content-Type": "application/json", SIGNATURE_HEADER: signature}

    async def _book(self, books: Books, charge: Charge, asked: Behaviour, now: datetime) -> Payment:
        await settle(books, now, charge.key)
        known = await books.find(charge.key)
        if known is not None:
            if known[0] != charge:
                raise RequestRefused(f"the key {charge.key} stands for another charge")
            return known[1]
        earlier = await books.declines(charge.customer_reference, charge.payment_method)
        code = asked.decline(earlier)
        waits = asked.needs_customer or asked.pending_days > 0
        payment = Payment(
            key=charge.key,
            reference=reference_of(charge.key),
            state="pending" if waits else "succeeded" if code is None else "declined",
            money=charge.money,
            decline_code=None if waits else code,
            action_url=f"{ACTION_URL}{reference_of(charge.key)}" if asked.needs_customer else None,
            payment_method=charge.payment_method,
        )
        settles_at = now + timedelta(days=asked.pending_days) if asked.pending_days else None
        disputed_at = (
            None
            if asked.disputed_after_days is None
            else now + timedelta(days=asked.disputed_after_days)
        )
        await books.add_payment(
            charge, payment, settles_at=settles_at, code=code, disputed_at=disputed_at, at=now
        )
        await tell_booked(books, payment, asked, now)
        if disputed_at is not None:
            await tell(books, "disputed", payment, disputed_at)
        return payment

    @asynccontextmanager
    async def _reached(self) -> AsyncGenerator[Books]:
        """The books for one request of the service, unless an outage lasts."""
        async with self._books() as books:
            if await books.is_down(self._clock.now()):
                raise ProviderUnreachable("the sandbox is down")
            yield books

    @asynccontextmanager
    async def _books(self) -> AsyncGenerator[Books]:
        reached = False
        try:
            async with (
                transient_trouble("sandbox"),
                self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
            ):
                reached = True
                async with connection.transaction():
                    yield Books(connection)
        except Transient as error:
            # Once there was a connection, its last word, the commit, may have been lost.
            raise (OutcomeUnclear if reached else ProviderUnreachable)(str(error)) from error


async def _is_away(books: Books, key: str, now: datetime) -> bool:
    """Whether the provider is down for the customer whose charge it is."""
    request = await books.first_request(key)
    if request is None or (asked := behaviour(request[0])) is None:
        return False
    return now < request[1] + timedelta(days=asked.down_days)


def _refuse_impossible(refund: Refund, payment: Payment) -> None:
    if payment.state != "succeeded":
        raise RequestRefused(f"a payment that is {payment.state} cannot be refunded")
    if refund.money.currency != payment.money.currency:
        raise RequestRefused(f"the payment was made in {payment.money.currency}")
    left = payment.money.amount_minor - payment.refunded_minor
    if not 0 < refund.money.amount_minor <= left:
        raise RequestRefused(f"{left} of the payment is left to refund")
