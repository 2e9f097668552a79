"""Leads one customer's subscription through its periods, by the saga that the service uses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

import msgspec

from services.billing.models import CancelReason, InvoiceState, SubscriptionStatus
from services.billing.rules.dunning import DunningSchedule
from services.billing.saga import after, next_move
from services.billing.saga.changes import as_sent
from services.billing.saga.state import (
    Canceled,
    Done,
    GiveBack,
    Happen,
    LookUp,
    Refunded,
    Saga,
    SagaEvent,
    Send,
    Wait,
)
from services.billing.simulation.fleet import Customer, Fleet
from services.billing.simulation.outside import Outside

Outcome = Literal["on_time", "recovered", "lost", "open"]
"""Paid without a decline, paid after one, given up, or neither when nothing more can happen."""


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a period's invoice."""

    due_at: datetime
    outcome: Outcome
    sent_at: tuple[datetime, ...]
    """Its attempts; one that the provider could not be told of counts once it could."""
    declined_at: datetime | None
    """The first failure, from which dunning counts."""
    ended_at: datetime

    @property
    def recovered_after(self) -> timedelta | None:
        """How long after the first failure it was paid; None where it was not, or never failed."""
        if self.outcome != "recovered" or self.declined_at is None:
            return None
        return self.ended_at - self.declined_at


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription from the simulation's beginning to its end, or the subscription's own."""

    renewals: tuple[Renewal, ...]
    canceled: CancelReason | None = None


def live(customer: Customer, fleet: Fleet, schedule: DunningSchedule) -> Life:
    """The customer's subscription under a schedule: the same whatever lived before it."""
    outside = Outside(customer, fleet)
    renewals: list[Renewal] = []
    now, ending = customer.first_due_at, False
    while (due_at := customer.due_at(len(renewals))) < fleet.ends_at:
        period = _Period(due_at, customer, outside, schedule, ending=ending)
        now = period.lead(max(now, due_at))
        if period.opened:
            renewals.append(period.renewal(now))
        if period.saga.invoice is not InvoiceState.PAID:
            return Life(renewals=tuple(renewals), canceled=period.canceled)
        ending = period.saga.cancel_at_period_end
    return Life(renewals=tuple(renewals))


class _Period:
    def __init__(
        self,
        due_at: datetime,
        customer: Customer,
        outside: Outside,
        schedule: DunningSchedule,
        *,
        ending: bool,
    ):
        self.saga = Saga(
            status=SubscriptionStatus.ACTIVE,
            created_at=customer.first_due_at,
            cancel_at_period_end=ending,
            period_start=due_at,
        )
        self.canceled: CancelReason | None = None
        self._outside = outside
        self._schedule = schedule
        self._sent_at: dict[int, datetime] = {}
        self._declined_at: datetime | None = None

    def lead(self, now: datetime) -> datetime:
        """Obeys the saga until it has nothing more to say, or waits for a person; tells when."""
        while True:
            self._become(self._outside.happen(self.saga, now))
            move = next_move(self.saga, self._schedule, now)
            match move:
                case Happen(event=event):
                    if isinstance(event, Canceled):
                        self.canceled = event.reason
                    self._happen(event, now)
                case Send(number=number):
                    self._sent_at[number] = now
                    self._happen(as_sent(move), now)
                    self._happen(self._outside.charge(now), now)
                case LookUp():
                    self._happen(self._outside.look_up(now), now)
                case GiveBack():
                    self._happen(Refunded(), now)
                case Wait(until=until):
                    coming = [at for at in (until, self._outside.next_at) if at is not None]
                    if not coming:
                        return now
                    now = min(coming)
                case Done():
                    return now

    @property
    def opened(self) -> bool:
        """Whether there was an invoice at all: the end of a period comes before billing."""
        return self.saga.invoice not in {InvoiceState.DRAFT, InvoiceState.VOID}

    def renewal(self, ended_at: datetime) -> Renewal:
        outcome: Outcome = "open"
        if self.saga.invoice is InvoiceState.PAID:
            outcome = "on_time" if self._declined_at is None else "recovered"
        elif self.saga.invoice is InvoiceState.UNCOLLECTIBLE:
            outcome = "lost"
        return Renewal(
            due_at=self.saga.period_start,
            outcome=outcome,
            sent_at=tuple(self._sent_at.values()),
            declined_at=self._declined_at,
            ended_at=ended_at,
        )

    def _happen(self, event: SagaEvent, now: datetime) -> None:
        self._become(after(self.saga, event, now).saga)

    def _become(self, saga: Saga) -> None:
        self.saga = saga
        self._declined_at = self._declined_at or saga.past_due_since
