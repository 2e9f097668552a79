"""Writes what an event made of a saga: rows, the ledger, the history, notices and facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from services.billing.facts import Page, facts
from services.billing.models import Money, PaymentAttempt, SubscriptionStatus
from services.billing.rules import ledger
from services.billing.rules.money import format_money
from services.billing.rules.subscriptions import SubscriptionEvent, transition
from services.billing.saga.state import Canceled, Effect
from services.billing.store.saga import SagaStore
from shared.messages.events import Event
from shared.messages.notices import OPERATORS, Notice
from shared.postgres.notices import NoticeStore
from shared.workflow.ports import Connection

STATUS_EVENTS = {
    SubscriptionStatus.ACTIVE: SubscriptionEvent.PAID,
    SubscriptionStatus.PAST_DUE: SubscriptionEvent.PAYMENT_DECLINED,
    SubscriptionStatus.CANCELED: SubscriptionEvent.CANCELED,
}
"""What leads to a status."""


class Bookkeeper:
    """Writes one page, in the transaction that holds the subscription's lock."""

    def __init__(self, connection: Connection, page: Page, publish: Callable[[Event], None]):
        self._store = SagaStore(connection, page.terms.id)
        self._notices = NoticeStore(connection)
        self._page = page
        self._publish = publish

    async def write(self) -> None:
        """Writes everything. Raises IllegalTransition where the status cannot become what the
        machine says, which is a defect of the machine."""
        page, effects = self._page, self._page.change.effects
        if Effect.BOOK_OPENED in effects:
            await self._store.add_invoice(page.invoice, page.terms.customer_id, page.now)
        elif page.stored:
            await self._store.save_invoice(page.invoice, page.now)
        if page.attempt is not None:
            await self._store.save_attempt(page.invoice.id, page.attempt)
        await self._change_status()
        for effect in effects:
            await self._carry_out(effect)
        if page.changed:
            for event in facts(page):
                self._publish(event)

    async def _change_status(self) -> None:
        page, saga = self._page, self._page.change.saga
        if saga.status is page.terms.status:
            return
        name = STATUS_EVENTS[saga.status]
        changed = await self._store.change_status(
            page.terms,
            transition(page.terms.status, name),
            name,
            past_due_since=saga.past_due_since,
            reason=page.event.reason if isinstance(page.event, Canceled) else None,
            actor=page.actor,
            at=page.now,
        )
        if not changed:
            raise RuntimeError(f"subscription {page.terms.id} changed while it was locked")

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Effect.EXTEND:
                await self._store.extend(self._page.invoice)
                await self._store.look_soon(self._page.now)
            case Effect.TELL_FAILED:
                await self._tell_failed()
            case Effect.TELL_CANCELED:
                await self._tell_canceled()
            case Effect.ALERT:
                await self._alert()
            case Effect.SCHEDULE_CLEANUP:
                # A workflow, which whoever applied the event starts.
                pass
            case _:
                await self._book(effect)

    async def _book(self, effect: Effect) -> None:
        page, money = self._page, self._page.invoice.money
        provider = "" if page.attempt is None else page.attempt.provider
        entries = booking(effect, money, provider)
        number = 0 if page.attempt is None else page.attempt.number
        key = booking_key(page.invoice.id, effect, number, page.invoice.reopened)
        await self._store.book(key, entries, page.terms.customer_id, page.invoice.id, page.now)

    async def _tell_failed(self) -> None:
        """The notice of the first day; a later failure has its own notices, by the calendar."""
        attempt = self._page.attempt
        data = self._about_invoice()
        if attempt is not None:
            data |= {"declineCode": attempt.decline_code, "actionUrl": attempt.action_url}
        await self._post("payment_failed", failed_key(self._page.invoice.id, attempt), data)

    async def _tell_canceled(self) -> None:
        page = self._page
        reason = page.event.reason if isinstance(page.event, Canceled) else None
        data = {"subscriptionId": str(page.terms.id), "reason": reason}
        await self._post("cancellation", str(page.terms.id), data)

    async def _alert(self) -> None:
        page = self._page
        number = 0 if page.attempt is None else page.attempt.number
        cause = type(page.event).__name__
        await self._notices.post(
            Notice(
                name="payment_needs_operator",
                recipient=OPERATORS,
                key=f"{page.invoice.id}/{number}/{page.invoice.reopened}/{cause}",
                data={**self._about_invoice(), "cause": cause, "attempt": number},
            ),
            page.now,
        )

    async def _post(self, name: str, key: str, data: dict[str, Any]) -> None:
        recipient = str(self._page.terms.customer_id)
        notice = Notice(name=name, recipient=recipient, key=key, data=data)
        await self._notices.post(notice, self._page.now)

    def _about_invoice(self) -> dict[str, Any]:
        money = self._page.invoice.money
        return {
            "subscriptionId": str(self._page.terms.id),
            "invoiceId": str(self._page.invoice.id),
            "amount": format_money(money),
        }


def failed_key(invoice_id: UUID, attempt: PaymentAttempt | None) -> str:
    """The key of the first day's notice. A later attempt that waits for the customer has another:
    nothing else tells its link."""
    if attempt is None or attempt.number == 1 or attempt.action_url is None:
        return f"{invoice_id}/0"
    return f"{invoice_id}/0/{attempt.number}"


def booking(effect: Effect, money: Money, provider: str) -> ledger.Entries:
    """What an effect whose name begins with `book_` writes into the ledger."""
    return {
        Effect.BOOK_OPENED: lambda: ledger.opened(money),
        Effect.BOOK_PAID: lambda: ledger.paid(money, provider),
        Effect.BOOK_SURPLUS: lambda: ledger.surplus_received(money, provider),
        Effect.BOOK_SURPLUS_RETURNED: lambda: ledger.surplus_refunded(money, provider),
        Effect.BOOK_REFUND: lambda: ledger.refunded(money, provider),
        Effect.BOOK_WRITE_OFF: lambda: ledger.written_off(money),
        Effect.BOOK_DISPUTE: lambda: ledger.charged_back(money, provider),
        Effect.BOOK_DISPUTE_WON: lambda: ledger.dispute_won(money, provider),
    }[effect]()


def booking_key(invoice_id: UUID, effect: Effect, number: int, reopened: int) -> str:
    """The transaction's key. An invoice may be disputed again, and paid again, each time by another
    attempt or in another round."""
    return f"{invoice_id}/{effect.removeprefix('book_')}/{number}/{reopened}"
