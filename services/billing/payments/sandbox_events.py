"""What the sandbox tells: events as bodies of webhooks."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.billing.models import Payment, ProviderEvent, ProviderEventKind
from services.billing.payments.behaviour import Behaviour
from services.billing.payments.books import Books
from services.billing.payments.provider import RequestRefused, SignatureRefused

KINDS: dict[str, ProviderEventKind] = {
    "payment.succeeded": "succeeded",
    "payment.declined": "declined",
    "payment.pending": "pending",
    "payment.refunded": "refunded",
    "payment.disputed": "disputed",
}


class SandboxEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's body."""

    id: str
    type: str
    created: datetime
    payment: msgspec.Raw = msgspec.Raw(b"null")


def read_event(body: bytes) -> ProviderEvent:
    """The event in a body whose signature held. Raises SignatureRefused where there is none."""
    try:
        event = msgspec.json.decode(body, type=SandboxEvent)
        kind = KINDS.get(event.type)
        payment = None if kind is None else msgspec.json.decode(event.payment, type=Payment)
    except msgspec.MsgspecError as error:
        raise SignatureRefused("the body is signed, but tells no event") from error
    return ProviderEvent(id=event.id, kind=kind, payment=payment, occurred_at=event.created)


async def tell(
    books: Books,
    kind: ProviderEventKind,
    payment: Payment,
    at: datetime,
    event_id: str | None = None,
) -> None:
    """Has an event told at `at`; the same of a payment has the same id."""
    event = SandboxEvent(
        id=event_id or f"evt_{payment.key}_{kind}",
        type=f"payment.{kind}",
        created=at,
        payment=msgspec.Raw(msgspec.json.encode(payment)),
    )
    await books.outgoing.add(event.id, payment.key, msgspec.json.encode(event), at)


async def tell_booked(books: Books, payment: Payment, asked: Behaviour, at: datetime) -> None:
    """Has a new payment told as its payment method asks for."""
    if not asked.webhook_reordered:
        await tell(books, payment.state, payment, at)
        return
    earlier = msgspec.structs.replace(payment, state="pending")
    for _ in range(2):
        await tell(books, payment.state, payment, at)
        await tell(books, "pending", earlier, at)


async def settle(books: Books, now: datetime, key: str | None = None) -> None:
    """Ends and tells pending payments whose time has come, of this key or of all."""
    for settled, at in await books.settle(now, key):
        payment = await payment_of(books, settled)
        await tell(books, payment.state, payment, at)


async def payment_of(books: Books, key: str) -> Payment:
    """The payment under a key. Raises RequestRefused where there is none."""
    found = await books.find(key)
    if found is None:
        raise RequestRefused(f"there is no payment under the key {key}")
    return found[1]
