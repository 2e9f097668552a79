"""The provider and the customer, as one subscription meets them."""

from __future__ import annotations

from datetime import datetime
from heapq import heappop, heappush
from itertools import count

import msgspec

from services.billing.rules.declines import decline_class
from services.billing.saga import after
from services.billing.saga.state import (
    Declined,
    MethodChanged,
    NotSent,
    NotTold,
    Pending,
    Saga,
    SagaEvent,
    Succeeded,
)
from services.billing.simulation.fleet import Customer, Fleet


class Leave(msgspec.Struct, frozen=True):
    """The customer cancels at the period's end."""


class Outside:
    """Answers charges out of the customer's luck, and tells what happens by itself in time."""

    def __init__(self, customer: Customer, fleet: Fleet):
        self._customer = customer
        self._outages = fleet.outages
        self._coming: list[tuple[datetime, int, SagaEvent | Leave]] = []
        self._order = count()
        self._notified = False
        self._new_card = False
        if customer.leaves_at is not None:
            self._plan(customer.leaves_at, Leave())

    def charge(self, now: datetime) -> SagaEvent:
        """What the provider answers."""
        customer = self._customer
        if self._reachable_at(now) > now:
            return NotSent()
        answer = self._answer(now)
        if customer.answer_after is not None:
            self._plan(self._reachable_at(now + customer.answer_after), answer)
            return Pending()
        if isinstance(answer, Declined) and not self._notified:
            self._notified = True
            if customer.replaced_after is not None:
                self._plan(now + customer.replaced_after, MethodChanged())
        return answer

    def look_up(self, now: datetime) -> SagaEvent:
        """What the provider tells of the last charge: an answer is told as soon as there is one."""
        return NotTold() if self._reachable_at(now) > now else Pending()

    @property
    def next_at(self) -> datetime | None:
        """When something happens by itself."""
        return self._coming[0][0] if self._coming else None

    def happen(self, saga: Saga, now: datetime) -> Saga:
        """The saga after what has happened by itself until now."""
        while self._coming and self._coming[0][0] <= now:
            _, _, event = heappop(self._coming)
            if isinstance(event, Leave):
                saga = msgspec.structs.replace(saga, cancel_at_period_end=True)
                continue
            self._new_card |= isinstance(event, MethodChanged)
            saga = after(saga, event, now).saga
        return saga

    def _answer(self, now: datetime) -> Succeeded | Declined:
        customer = self._customer
        bad_card = (
            customer.declined_from is not None
            and now >= customer.declined_from
            and not self._new_card
        )
        if not bad_card and customer.has_money(now):
            return Succeeded()
        code = customer.decline_code
        return Declined(kind=decline_class(code), code=code)

    def _reachable_at(self, at: datetime) -> datetime:
        """The first instant from then on at which the provider can be reached."""
        for begins, ends in self._outages:
            if begins <= at < ends:
                at = ends
        return at

    def _plan(self, at: datetime, event: SagaEvent | Leave) -> None:
        heappush(self._coming, (at, next(self._order), event))
