"""How a fleet's customers pay: what a simulation believes of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class PaymentBehaviour(StrEnum):
    """How one customer pays, period after period."""

    PAYS = "pays"
    """Each charge succeeds."""
    SHORT_OF_MONEY = "short_of_money"
    """Money comes and goes: declined softly on the days without."""
    EXPIRED_CARD = "expired_card"
    """Declined hard from one of the renewals on, until the customer gives another card."""
    LOST_CARD = "lost_card"
    """Declined hard from one of the renewals on; the customer never gives another card."""
    DECLINED = "declined"
    """Declined softly from one of the renewals on, whenever it is tried."""
    BANK_DEBIT = "bank_debit"
    """The bank takes days to answer, and sometimes declines softly then."""
    LEAVES = "leaves"
    """Pays, and at some moment cancels at the period's end."""


LONGEST_DAYS = 365
LATEST_DAY = 3_650

Mix = Mapping[PaymentBehaviour, float]
"""Percent of the customers, by how they pay."""

DEFAULT_MIX: Mix = {
    PaymentBehaviour.PAYS: 78,
    PaymentBehaviour.SHORT_OF_MONEY: 8,
    PaymentBehaviour.EXPIRED_CARD: 5,
    PaymentBehaviour.LOST_CARD: 1,
    PaymentBehaviour.DECLINED: 1,
    PaymentBehaviour.BANK_DEBIT: 2,
    PaymentBehaviour.LEAVES: 5,
}


def check_mix(mix: Mix) -> None:
    """Raises ValueError for what is no division into percents."""
    for behaviour, percent in mix.items():
        check_percent(behaviour, percent)
    total = sum(mix.values())
    # Percents may be such as 33.3, whose sum is not exact.
    if abs(total - 100) > 1e-6:
        raise ValueError(f"`mix` adds up to {total:g} %: make it 100, such as with more `pays`")


def check_percent(field: str, percent: float) -> None:
    """Raises ValueError for what is no percentage."""
    if not 0 <= percent <= 100:
        raise ValueError(f"`{field}` {percent:g}: write a percentage, 0 to 100")


def check_days(field: str, days: int) -> None:
    """Raises ValueError for what is no number of days."""
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"`{field}` {days}: write 1 to {LONGEST_DAYS}")


class ShortOfMoney(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the account has money. A day is one of UTC."""

    paydays: tuple[int, ...] = (1, 15)
    """Days of the month."""
    payday_percent: float = 70
    """The chance that money comes on a payday."""
    daily_percent: float = 5
    """The chance that money comes on any other day."""
    lasts_days: int = 5
    """How long it is there, from the day on which it came."""

    def __post_init__(self) -> None:
        if not all(1 <= day <= 31 for day in self.paydays):
            raise ValueError(f"`paydays` {self.paydays}: write days of a month, 1 to 31")
        check_percent("payday_percent", self.payday_percent)
        check_percent("daily_percent", self.daily_percent)
        check_days("lasts_days", self.lasts_days)


class ExpiredCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer does about the notice that the card was declined."""

    replaced_percent: float = 70
    """Of these customers."""
    replaced_within_days: int = 20
    """Each of these days is as likely as any other."""

    def __post_init__(self) -> None:
        check_percent("replaced_percent", self.replaced_percent)
        check_days("replaced_within_days", self.replaced_within_days)


class BankDebit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a bank answers."""

    answer_days: int = 3
    declined_percent: float = 10

    def __post_init__(self) -> None:
        check_days("answer_days", self.answer_days)
        check_percent("declined_percent", self.declined_percent)


class Outage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The provider cannot be reached."""

    first_day: int
    """Counted from the simulation's beginning, which is day 0."""
    days: int

    def __post_init__(self) -> None:
        if not 0 <= self.first_day <= LATEST_DAY:
            raise ValueError(f"`first_day` {self.first_day}: write 0 to {LATEST_DAY}")
        check_days("days", self.days)


class Assumptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a simulation believes. Raises ValueError that names the field and the remedy."""

    mix: Mix = msgspec.field(default_factory=lambda: DEFAULT_MIX)
    short_of_money: ShortOfMoney = ShortOfMoney()
    expired_card: ExpiredCard = ExpiredCard()
    bank_debit: BankDebit = BankDebit()
    outages: tuple[Outage, ...] = ()

    def __post_init__(self) -> None:
        check_mix(self.mix)
