"""How often a credential may ask."""

from __future__ import annotations

import pytest

from services.gateway.credentials import rates
from services.gateway.credentials.caller import Caller
from services.gateway.credentials.rates import Rates, TooMany


class Ticking:
    """Machine time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Ticking:
    return Ticking()


def caller(name: str = "one", rate: float | None = None) -> Caller:
    return Caller(f"key:{name}", frozenset(), rate)


def taken(of: Rates, who: Caller) -> int:
    """How many requests get through at once."""
    count = 0
    while True:
        try:
            of.take(who)
        except TooMany:
            return count
        count += 1


@pytest.mark.rule("http-rate")
def test_two_seconds_requests_at_once_and_then_as_many_as_the_rate(now: Ticking) -> None:
    of = Rates(10, now)
    assert taken(of, caller()) == 20
    now.seconds += 0.5
    assert taken(of, caller()) == 5
    now.seconds += 3600
    assert taken(of, caller()) == 20


def test_each_credential_has_its_own(now: Ticking) -> None:
    of = Rates(10, now)
    taken(of, caller())
    assert taken(of, caller("another")) == 20


@pytest.mark.rule("http-rate")
def test_a_keys_own_rate_counts_and_changes_at_once(now: Ticking) -> None:
    of = Rates(10, now)
    assert taken(of, caller(rate=2)) == 4
    assert taken(of, caller(rate=3)) == 6


def test_a_slow_rate_lets_one_through_and_says_when_to_come_again(now: Ticking) -> None:
    of = Rates(0.1, now)
    assert taken(of, caller()) == 1
    now.seconds += 2
    with pytest.raises(TooMany) as many:
        of.take(caller())
    assert (many.value.status, many.value.retry_after_seconds) == (429, 8)
    now.seconds += 8
    assert taken(of, caller()) == 1


def test_no_rate_is_no_limit(now: Ticking) -> None:
    of = Rates(0, now)
    for _ in range(1000):
        of.take(caller())


def test_callers_who_are_gone_are_forgotten(now: Ticking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_BUCKETS", 10)
    of = Rates(1, now)
    taken(of, caller())
    for number in range(50):
        now.seconds += 0.001
        of.take(caller(str(number)))
        assert len(of) <= 11
