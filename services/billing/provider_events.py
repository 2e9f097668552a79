"""Applies what a payment provider tells by itself: each event once, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from services.billing.models import DeclineClass, Payment, ProviderEvent
from services.billing.renewals import go_on
from services.billing.rules.declines import DECLINES
from services.billing.saga.answers import as_event
from services.billing.saga.state import Disputed, IllegalEvent, Refunded, SagaEvent
from services.billing.store import ProviderEventStore
from services.billing.store.provider_events import AttemptPlace
from services.billing.transitions import happen, lock_case
from shared.messages.events import Event
from shared.messages.notices import OPERATORS, Notice
from shared.messages.workflows import StartRenewal
from shared.postgres.notices import NoticeStore
from shared.workflow.ports import Connection
from shared.workflow.records import OutboxMessage


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event."""

    outcome: str
    """applied, parked, ignored or contradicted."""
    follow_up: OutboxMessage | StartRenewal | None = None
    """What lets the renewal know."""


class ProviderEvents:
    """The events of one provider, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        provider: str,
        *,
        now: datetime,
        publish: Callable[[Event], None],
        declines: Mapping[str, DeclineClass] = DECLINES,
    ):
        self._connection = connection
        self._store = ProviderEventStore(connection, provider)
        self._provider = provider
        self._now = now
        self._publish = publish
        self._declines = declines

    async def take(self, event: ProviderEvent) -> Arrival:
        """Keeps a new event and applies it; one that is known is answered as before, unless it
        still waits."""
        if not await self._store.keep(event, self._now):
            outcome = await self._store.outcome(event.id)
            if outcome != "parked":
                return Arrival(outcome=outcome)
        return await self._apply(event)

    async def take_parked(self, key: str) -> list[Arrival]:
        """Applies what came before the attempt under this key, which exists by now."""
        return [await self._apply(event) for event in await self._store.parked(key)]

    async def _apply(self, event: ProviderEvent) -> Arrival:
        if event.kind is None or event.payment is None:
            return await self._settle(event, Arrival(outcome="ignored"))
        payment = event.payment
        if payment.key:
            place = await self._store.place(payment.key)
        else:
            # As of a chargeback at Stripe, which tells its payment's id alone.
            place = await self._store.place_by_reference(payment.reference)
        if place is None:
            return Arrival(outcome="parked")
        try:
            arrival = await self._happen(place, event, replace(payment, key=place.key))
        except IllegalEvent as error:
            await self._alert(event, str(error))
            arrival = Arrival(outcome="contradicted")
        return await self._settle(event, arrival)

    async def _happen(self, place: AttemptPlace, event: ProviderEvent, payment: Payment) -> Arrival:
        case = await lock_case(self._connection, place.subscription_id, place.period_start)
        if case.attempt is None or case.attempt.key != payment.key:
            # Of an earlier attempt, which was declined or another would not have been made.
            if event.kind in {"declined", "pending"}:
                return Arrival(outcome="applied")
            raise IllegalEvent(f"a later attempt than {payment.key} has been made")
        if payment.money != case.attempt.money:
            raise IllegalEvent("the provider has another amount under this key")
        applied = await happen(
            self._connection,
            place.subscription_id,
            self._event(event, payment),
            now=self._now,
            actor=f"webhook:{self._provider}",
            publish=self._publish,
            period_start=place.period_start,
            provider=self._provider,
            payment=payment,
        )
        follow_up = await go_on(self._connection, applied, self._now)
        return Arrival(outcome="applied", follow_up=follow_up)

    def _event(self, event: ProviderEvent, payment: Payment) -> SagaEvent:
        match event.kind:
            case "disputed":
                return Disputed()
            case "refunded":
                if payment.refunded_minor < payment.money.amount_minor:
                    raise IllegalEvent("a part of the money was given back at the provider")
                return Refunded()
            case _:
                return as_event(payment, self._declines)

    async def _settle(self, event: ProviderEvent, arrival: Arrival) -> Arrival:
        await self._store.settle(event.id, arrival.outcome, self._now)
        return arrival

    async def _alert(self, event: ProviderEvent, reason: str) -> None:
        key = event.payment.key if event.payment is not None else None
        notice = Notice(
            name="payment_contradiction",
            recipient=OPERATORS,
            key=f"{self._provider}/{event.id}",
            data={"event": event.id, "kind": event.kind, "attempt": key, "reason": reason},
        )
        await NoticeStore(self._connection).post(notice, self._now)
