"""Draws a fleet of customers: all luck is drawn here, before any schedule is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from services.billing.models import Money
from services.billing.rules.periods import first_anchor, period_end
from services.billing.simulation.assumptions import (
    Assumptions,
    Mix,
    Outage,
    PaymentBehaviour,
    ShortOfMoney,
)

Chance = Callable[[], float]
"""The next number from 0 up to, and without, 1."""

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""Of simulated time; fixed, since the lengths of months and the paydays are part of the result."""

ONE_DAY = timedelta(days=1)
FOLLOWED_DAYS = 60
"""How far beyond the last month luck is drawn: invoices that are open then are followed."""

DECLINE_CODES = {
    PaymentBehaviour.EXPIRED_CARD: "expired_card",
    PaymentBehaviour.LOST_CARD: "lost_card",
    PaymentBehaviour.DECLINED: "do_not_honor",
    PaymentBehaviour.SHORT_OF_MONEY: "insufficient_funds",
    PaymentBehaviour.BANK_DEBIT: "insufficient_funds",
}


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer with one subscription, and all the luck they will ever have."""

    behaviour: PaymentBehaviour
    first_due_at: datetime
    """When the first simulated renewal is due; the others follow by the month."""
    money: tuple[bool, ...] | None = None
    """Whether there is any, day after day from the beginning; None: always."""
    declined_from: datetime | None = None
    replaced_after: timedelta | None = None
    """How long after the first notice the customer gives another card; None: never."""
    answer_after: timedelta | None = None
    """How long a charge is pending; None: it is answered at once."""
    leaves_at: datetime | None = None

    def due_at(self, period: int) -> datetime:
        """When the renewal of that number is due; 0 is the first."""
        return period_end(first_anchor(self.first_due_at, "UTC"), period, "month", "UTC")

    def has_money(self, now: datetime) -> bool:
        """Whether a charge finds any; beyond what was drawn, the days come again."""
        return self.money is None or self.money[(now - BEGINNING) // ONE_DAY % len(self.money)]

    @property
    def decline_code(self) -> str:
        """With which their charges are declined."""
        return DECLINE_CODES[self.behaviour]


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Customers whose subscriptions are active and paid up when the simulation begins."""

    customers: tuple[Customer, ...]
    ends_at: datetime
    """No renewal that is due later is simulated; what is open then is followed to its end."""
    price: Money
    outages: tuple[tuple[datetime, datetime], ...]
    """From when until when the provider cannot be reached, in order."""


def draw_fleet(
    assumptions: Assumptions, customers: int, months: int, price: Money, chance: Chance
) -> Fleet:
    """Each customer with their luck for so many months, each of which has one renewal."""
    ends_at = period_end(BEGINNING.replace(tzinfo=None), months, "month", "UTC")
    return Fleet(
        customers=tuple(
            _draw(behaviour, assumptions, months, ends_at, chance)
            for behaviour, share in shares(assumptions.mix, customers).items()
            for _ in range(share)
        ),
        ends_at=ends_at,
        price=price,
        outages=tuple(sorted(_window(each) for each in assumptions.outages)),
    )


def _window(outage: Outage) -> tuple[datetime, datetime]:
    begins = BEGINNING + outage.first_day * ONE_DAY
    return begins, begins + outage.days * ONE_DAY


def shares(mix: Mix, customers: int) -> dict[PaymentBehaviour, int]:
    """How many customers pay in which way; the largest rests get what the percents leave over."""
    exact = {each: mix.get(each, 0) * customers / 100 for each in PaymentBehaviour}
    whole = {each: int(number) for each, number in exact.items()}
    by_rest = sorted(PaymentBehaviour, key=lambda each: whole[each] - exact[each])
    for each in by_rest[: customers - sum(whole.values())]:
        whole[each] += 1
    return whole


def _draw(
    behaviour: PaymentBehaviour,
    assumptions: Assumptions,
    months: int,
    ends_at: datetime,
    chance: Chance,
) -> Customer:
    # The shortest month: each customer then has a renewal in each month.
    first_due_at = BEGINNING + timedelta(seconds=int(chance() * 28 * 86_400))
    customer = Customer(behaviour=behaviour, first_due_at=first_due_at)
    days = (ends_at - BEGINNING) // ONE_DAY + FOLLOWED_DAYS
    match behaviour:
        case PaymentBehaviour.PAYS:
            return customer
        case PaymentBehaviour.SHORT_OF_MONEY:
            money = tuple(_money(assumptions.short_of_money, days, chance))
            return msgspec.structs.replace(customer, money=money)
        case PaymentBehaviour.EXPIRED_CARD | PaymentBehaviour.LOST_CARD | PaymentBehaviour.DECLINED:
            declined_from = customer.due_at(int(chance() * months))
            expired = behaviour is PaymentBehaviour.EXPIRED_CARD
            return msgspec.structs.replace(
                customer,
                declined_from=declined_from,
                replaced_after=_replaced_after(assumptions, chance) if expired else None,
            )
        case PaymentBehaviour.BANK_DEBIT:
            debit = assumptions.bank_debit
            return msgspec.structs.replace(
                customer,
                answer_after=debit.answer_days * ONE_DAY,
                money=tuple(chance() * 100 >= debit.declined_percent for _ in range(days)),
            )
        case PaymentBehaviour.LEAVES:
            seconds = (ends_at - BEGINNING) // timedelta(seconds=1)
            leaves_at = BEGINNING + timedelta(seconds=int(chance() * seconds))
            return msgspec.structs.replace(customer, leaves_at=leaves_at)


def _money(assumed: ShortOfMoney, days: int, chance: Chance) -> Iterator[bool]:
    left_days = 0
    for day in range(days):
        payday = (BEGINNING + day * ONE_DAY).day in assumed.paydays
        percent = assumed.payday_percent if payday else assumed.daily_percent
        if chance() * 100 < percent:
            left_days = assumed.lasts_days
        yield left_days > 0
        left_days -= 1


def _replaced_after(assumptions: Assumptions, chance: Chance) -> timedelta | None:
    assumed = assumptions.expired_card
    replaced, part = chance() * 100 < assumed.replaced_percent, chance()
    return (1 + int(part * assumed.replaced_within_days)) * ONE_DAY if replaced else None
