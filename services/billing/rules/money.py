"""Amounts: minor units of a currency, as people write them, and which ones can be billed."""

from __future__ import annotations

import re

from iso4217 import Currency

from services.billing.models import Money
from shared.messages.problems import Refused

EXPONENTS: dict[str, int] = {
    currency.code: currency.exponent
    for currency in Currency
    # Gold, test codes and the like have no minor unit.
    if currency.exponent is not None
}
"""How many decimal places the minor unit of each currency of ISO 4217 has: JPY 0, EUR 2, KWD 3."""

LARGEST_AMOUNT_MINOR = 10**15
"""What one amount may be, so that no sum of amounts comes near the end of a bigint."""

DECIMAL = re.compile(r"([0-9]{1,16})(?:\.([0-9]+))?", re.ASCII)


def exponent(currency: str) -> int:
    """The decimal places of a currency's minor unit. Raises Refused `unknown_currency`."""
    places = EXPONENTS.get(currency)
    if places is None:
        raise Refused(
            "unknown_currency",
            f"{currency!r} is no currency of ISO 4217: write three capital letters such as EUR",
            field="currency",
        )
    return places


def check_money(amount_minor: int, currency: str, field: str = "amountMinor") -> Money:
    """The amount, as one that can be billed.

    Raises Refused `unknown_currency`, and `amount_not_positive` or `amount_too_large` of `field`.
    """
    exponent(currency)
    if amount_minor <= 0:
        raise Refused(
            "amount_not_positive", f"{amount_minor} is not above zero: write 1 or more", field=field
        )
    if amount_minor > LARGEST_AMOUNT_MINOR:
        raise Refused(
            "amount_too_large",
            f"{amount_minor} is above {LARGEST_AMOUNT_MINOR}, the most that is billed at once",
            field=field,
        )
    return Money(amount_minor=amount_minor, currency=currency)


def parse_money(text: str, currency: str, field: str = "amount") -> Money:
    """An amount written in the currency's own unit, such as 9.99.

    Raises Refused as check_money does, and `wrong_amount` for what is no decimal number or has
    more decimal places than the currency.
    """
    places = exponent(currency)
    written = DECIMAL.fullmatch(text)
    if written is None:
        raise Refused(
            "wrong_amount",
            f"{text!r} is no amount: write digits and a point, such as {_decimal(999, places)}",
            field=field,
        )
    whole, fraction = written[1], written[2] or ""
    if len(fraction) > places:
        raise Refused(
            "wrong_amount",
            f"{text!r} has {len(fraction)} decimal places, and {currency} has {places}: "
            f"write it such as {_decimal(999, places)}",
            field=field,
        )
    return check_money(int(whole + fraction.ljust(places, "0")), currency, field)


def format_money(money: Money) -> str:
    """The amount as people read it, such as EUR 9.99. Raises Refused `unknown_currency`."""
    return f"{money.currency} {_decimal(money.amount_minor, exponent(money.currency))}"


def _decimal(amount_minor: int, places: int) -> str:
    sign = "-" if amount_minor < 0 else ""
    digits = str(abs(amount_minor)).rjust(places + 1, "0")
    return f"{sign}{digits[: len(digits) - places]}" + (f".{digits[-places:]}" if places else "")
