"""Double entry: what each business event writes down. Debits are above zero, credits below it,
and the entries of one event sum to zero."""

from __future__ import annotations

from typing import NamedTuple

from services.billing.models import Money

RECEIVABLE = "receivable"
REVENUE = "revenue"
REFUNDS = "refunds"
BAD_DEBT = "bad_debt"
SURPLUS = "surplus"
"""Money that came for nothing owed: it goes back."""


class Entry(NamedTuple):
    """One account's part in an event."""

    account: str
    amount_minor: int
    currency: str


Entries = tuple[Entry, Entry]


def cash(provider: str) -> str:
    """The account of the money that a provider holds."""
    return f"cash:{provider}"


def opened(money: Money) -> Entries:
    """An invoice is open."""
    return _move(money, debit=RECEIVABLE, credit=REVENUE)


def paid(money: Money, provider: str) -> Entries:
    """The money of an open invoice came."""
    return _move(money, debit=cash(provider), credit=RECEIVABLE)


def written_off(money: Money) -> Entries:
    """An open invoice is void or uncollectible: nobody waits for its money any longer."""
    return _move(money, debit=BAD_DEBT, credit=RECEIVABLE)


def surplus_received(money: Money, provider: str) -> Entries:
    """Money came for a canceled subscription or a period that was paid already."""
    return _move(money, debit=cash(provider), credit=SURPLUS)


def surplus_refunded(money: Money, provider: str) -> Entries:
    """That money went back."""
    return _move(money, debit=SURPLUS, credit=cash(provider))


def refunded(money: Money, provider: str) -> Entries:
    """An operator gave back money of a paid invoice, which stays paid."""
    return _move(money, debit=REFUNDS, credit=cash(provider))


def charged_back(money: Money, provider: str) -> Entries:
    """The bank took the money of a paid invoice back, which is open again."""
    return _move(money, debit=RECEIVABLE, credit=cash(provider))


def dispute_won(money: Money, provider: str) -> Entries:
    """The bank returned what it had taken back."""
    return _move(money, debit=cash(provider), credit=RECEIVABLE)


def _move(money: Money, *, debit: str, credit: str) -> Entries:
    return (
        Entry(debit, money.amount_minor, money.currency),
        Entry(credit, -money.amount_minor, money.currency),
    )
