"""What the command line says of schedules, of the mix and of the customers is read or refused."""

from __future__ import annotations

import re

import msgspec
import pytest

from services.billing.rules.dunning import DunningSchedule
from services.billing.simulation.assumptions import Assumptions, PaymentBehaviour
from services.billing.simulation.choices import (
    DEFAULT_SCHEDULES,
    parse_mix,
    parse_schedule,
    parse_schedules,
)


@pytest.mark.parametrize(
    ("text", "name", "schedule"),
    [
        ("standard=1,3,7,14,30:30", "standard", DunningSchedule()),
        ("1,3,7,14,30:30", "1,3,7,14,30:30", DunningSchedule()),
        ("1,3,7,14,30:30:37", "1,3,7,14,30:30:37", DunningSchedule()),
        ("none=:7", "none", DunningSchedule(retry_days=(), cancel_days=7, stop_days=14)),
        (
            "a b=2:5:5",
            "a b",
            DunningSchedule(retry_days=(2,), cancel_days=5, stop_days=5),
        ),
    ],
)
def test_a_schedule_is_read(text: str, name: str, schedule: DunningSchedule) -> None:
    named = parse_schedule(text)
    assert (named.name, named.schedule) == (name, schedule)


def test_the_first_of_the_default_schedules_is_the_services_own() -> None:
    first, *others = parse_schedules(DEFAULT_SCHEDULES)
    assert first.schedule == DunningSchedule()
    assert all(each.schedule != first.schedule for each in others)


@pytest.mark.parametrize(
    ("texts", "remedy"),
    [
        (["x"], "write NAME=DAYS:CANCEL, such as short=1,3,5:7"),
        (["a=1,2"], "write NAME=DAYS:CANCEL"),
        (["a=1,,2:3"], "write NAME=DAYS:CANCEL"),
        (["a=1.5:3"], "write NAME=DAYS:CANCEL"),
        (["<a>=1:3"], "a name of at most 20 letters and digits"),
        (["a\n=1:3"], "a name of at most 20 letters and digits"),
        ([f"{'a' * 21}=1:3"], "a name of at most 20 letters and digits"),
        (["a=3,1:30"], "`retry_days` (3, 1) do not rise from 1 or more"),
        (["a=1,9:7"], "`cancel_days` 7 is before the last retry: write 9 or more"),
        (["a=1:7:6"], "`stop_days` 6 is before `cancel_days`: write 7 or more"),
        (["a=1:359"], "365 are the most"),
        (["a=1:3", "a=1:4"], "give each schedule a name of its own"),
        ([f"{name}=1:3" for name in "abcdefg"], "name 6 at most"),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_remedy(texts: list[str], remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        parse_schedules(texts)


def test_a_mix_is_read() -> None:
    assert parse_mix("pays=66.7, lost_card=33.3") == {
        PaymentBehaviour.PAYS: 66.7,
        PaymentBehaviour.LOST_CARD: 33.3,
    }


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("pays=90", "adds up to 90 %: make it 100"),
        ("pays=90,leaves=20", "adds up to 110 %: make it 100"),
        ("pays=101", "write a percentage, 0 to 100"),
        ("broke=100", "name pays, short_of_money, expired_card, lost_card, declined"),
        ("pays", "write it such as pays=10"),
        ("pays=-1,leaves=101", "write it such as pays=10"),
        ("pays=nan", "write it such as pays=10"),
        ("pays=50,pays=50", "name it once"),
        ("", "name pays"),
    ],
)
def test_a_wrong_mix_is_refused_with_its_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=re.escape(remedy)):
        parse_mix(text)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"mix": {"pays": 90}}, "`mix` adds up to 90 %"),
        ({"mix": {"broke": 100}}, "'broke'"),
        ({"shortofmoney": {}}, "unknown field `shortofmoney`"),
        ({"short_of_money": {"paydays": [0]}}, "`paydays` (0,)"),
        ({"short_of_money": {"payday_percent": 101}}, "`payday_percent` 101"),
        ({"short_of_money": {"daily_percent": float("nan")}}, "`daily_percent` nan"),
        ({"short_of_money": {"lasts_days": 0}}, "`lasts_days` 0: write 1 to 365"),
        ({"expired_card": {"replaced_percent": -1}}, "`replaced_percent` -1"),
        ({"expired_card": {"replaced_within_days": 366}}, "`replaced_within_days` 366"),
        ({"bank_debit": {"answer_days": 10**12}}, "`answer_days` 1000000000000"),
        ({"bank_debit": {"declined_percent": 200}}, "`declined_percent` 200"),
        ({"outages": [{"first_day": -1, "days": 2}]}, "`first_day` -1"),
        ({"outages": [{"first_day": 1, "days": 0}]}, "`days` 0"),
    ],
)
def test_what_cannot_be_believed_is_refused_by_its_field(wrong: object, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(told)):
        msgspec.convert(wrong, Assumptions)
