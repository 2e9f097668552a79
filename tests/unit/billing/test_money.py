"""Amounts and currencies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.models import Money
from services.billing.rules.money import (
    EXPONENTS,
    LARGEST_AMOUNT_MINOR,
    check_money,
    exponent,
    format_money,
    parse_money,
)
from shared.messages.problems import Refused


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize(("currency", "places"), [("JPY", 0), ("EUR", 2), ("USD", 2), ("KWD", 3)])
def test_a_currency_has_its_own_minor_unit(currency: str, places: int) -> None:
    assert exponent(currency) == places


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize("currency", ["", "eur", "EU", "ABC", "XAU", "XXX", "EUR "])
def test_an_unknown_currency_is_refused(currency: str) -> None:
    with pytest.raises(Refused, match="such as EUR") as refused:
        check_money(999, currency)
    assert (refused.value.code, refused.value.field) == ("unknown_currency", "currency")


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "amount_not_positive"),
        (-1, "amount_not_positive"),
        (LARGEST_AMOUNT_MINOR + 1, "amount_too_large"),
    ],
)
def test_an_amount_that_nobody_owes_is_refused(amount: int, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_money(amount, "EUR", field="priceMinor")
    assert (refused.value.code, refused.value.field) == (code, "priceMinor")


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("9.99", "EUR", 999),
        ("9.9", "EUR", 990),
        ("9", "EUR", 900),
        ("0.01", "EUR", 1),
        ("950", "JPY", 950),
        ("1.234", "KWD", 1234),
        ("4503599627370.49", "EUR", 450359962737049),
    ],
)
def test_a_written_amount_is_read_exactly(text: str, currency: str, amount_minor: int) -> None:
    expected = Money(amount_minor=amount_minor, currency=currency)
    assert parse_money(text, currency) == expected


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize(
    ("text", "currency", "code"),
    [
        ("9.999", "EUR", "wrong_amount"),
        ("9.990", "EUR", "wrong_amount"),
        ("9.5", "JPY", "wrong_amount"),
        ("9.0", "JPY", "wrong_amount"),
        ("1.2345", "KWD", "wrong_amount"),
        ("9,99", "EUR", "wrong_amount"),
        ("-9.99", "EUR", "wrong_amount"),
        ("1e3", "EUR", "wrong_amount"),
        ("٣", "EUR", "wrong_amount"),
        (".99", "EUR", "wrong_amount"),
        ("9.", "EUR", "wrong_amount"),
        ("9.99\n", "EUR", "wrong_amount"),
        ("", "EUR", "wrong_amount"),
        ("9" * 17, "EUR", "wrong_amount"),
        ("9" * 16, "EUR", "amount_too_large"),
        ("0.00", "EUR", "amount_not_positive"),
    ],
)
def test_what_is_no_amount_of_the_currency_is_refused(text: str, currency: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_money(text, currency)
    assert (refused.value.code, refused.value.field) == (code, "amount")


@pytest.mark.rule("billing-money")
@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (999, "EUR", "EUR 9.99"),
        (5, "EUR", "EUR 0.05"),
        (0, "EUR", "EUR 0.00"),
        (-999, "EUR", "EUR -9.99"),
        (-5, "KWD", "KWD -0.005"),
        (950, "JPY", "JPY 950"),
        (1234, "KWD", "KWD 1.234"),
    ],
)
def test_an_amount_is_written_with_its_currencys_places(
    amount_minor: int, currency: str, text: str
) -> None:
    assert format_money(Money(amount_minor=amount_minor, currency=currency)) == text


@pytest.mark.rule("billing-money")
@given(
    amount_minor=st.integers(1, LARGEST_AMOUNT_MINOR),
    currency=st.sampled_from(sorted(EXPONENTS)),
)
def test_what_is_written_is_read_as_the_same(amount_minor: int, currency: str) -> None:
    money = check_money(amount_minor, currency)
    assert parse_money(format_money(money).removeprefix(f"{currency} "), currency) == money
