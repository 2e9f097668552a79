"""A simulated fleet meets the same saga as customers do, and each schedule meets the same luck."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.models import Money
from services.billing.rules.dunning import DunningSchedule
from services.billing.simulation.assumptions import (
    Assumptions,
    BankDebit,
    ExpiredCard,
    Mix,
    Outage,
    PaymentBehaviour,
)
from services.billing.simulation.fleet import BEGINNING, Fleet, draw_fleet, shares
from services.billing.simulation.life import Life, Renewal, live
from services.billing.simulation.report import NamedSchedule, ScheduleReport, add_up

DAY = timedelta(days=1)
PRICE = Money(amount_minor=999, currency="EUR")
STANDARD = DunningSchedule()
SHORT = DunningSchedule(retry_days=(1, 3, 5), cancel_days=7, stop_days=14)


def fleet(
    assumptions: Assumptions | None = None, *, customers: int = 40, months: int = 3, seed: int = 7
) -> Fleet:
    believed = assumptions or Assumptions()
    return draw_fleet(believed, customers, months, PRICE, random.Random(seed).random)


def only(behaviour: PaymentBehaviour, believed: Assumptions | None = None) -> Fleet:
    return fleet(msgspec.structs.replace(believed or Assumptions(), mix={behaviour: 100}))


def lives(fleet: Fleet, schedule: DunningSchedule = STANDARD) -> list[Life]:
    return [live(customer, fleet, schedule) for customer in fleet.customers]


def report(fleet: Fleet, schedule: DunningSchedule = STANDARD) -> ScheduleReport:
    return add_up(NamedSchedule(name="one", schedule=schedule), lives(fleet, schedule), PRICE)


def renewals(fleet: Fleet, schedule: DunningSchedule = STANDARD) -> Iterator[Renewal]:
    return (renewal for life in lives(fleet, schedule) for renewal in life.renewals)


def sent_days(renewal: Renewal) -> list[float]:
    return [(at - renewal.due_at) / DAY for at in renewal.sent_at]


OUTAGES = st.builds(Outage, first_day=st.integers(0, 90), days=st.integers(1, 40))


@st.composite
def mixes(draw: st.DrawFn) -> Mix:
    weights = draw(st.lists(st.integers(0, 9), min_size=7, max_size=7).filter(any))
    return {
        behaviour: 100 * weight / sum(weights)
        for behaviour, weight in zip(PaymentBehaviour, weights, strict=True)
    }


@st.composite
def schedules(draw: st.DrawFn) -> DunningSchedule:
    days = sorted(draw(st.sets(st.integers(1, 40), max_size=6)))
    cancel_days = max([1, *days]) + draw(st.integers(0, 10))
    return DunningSchedule(
        retry_days=tuple(days),
        cancel_days=cancel_days,
        stop_days=cancel_days + draw(st.integers(0, 10)),
    )


def test_a_fleet_that_pays_loses_nobody() -> None:
    told = report(only(PaymentBehaviour.PAYS))
    assert (told.involuntary_churn, told.voluntary_churn, told.declined) == (0, 0, 0)
    assert told.on_time_minor == told.due_minor == 40 * 3 * PRICE.amount_minor
    assert told.attempts == told.renewals_due
    assert told.recovery_percent is None
    assert told.days_to_recover_p50 is None


@pytest.mark.rule("billing-dunning")
def test_a_fleet_that_is_always_declined_is_tried_by_the_schedule_and_canceled() -> None:
    declined = only(PaymentBehaviour.DECLINED)
    for life in lives(declined):
        *paid, last = life.renewals
        assert [each.outcome for each in paid] == ["on_time"] * len(paid)
        assert sent_days(last) == [0, 1, 3, 7, 14, 30]
        assert (last.outcome, last.ended_at - last.due_at) == ("lost", 30 * DAY)
        assert life.canceled == "non_payment"
    assert report(declined).involuntary_churn == 40


def test_another_schedule_is_kept_to_as_well() -> None:
    for life in lives(only(PaymentBehaviour.DECLINED), SHORT):
        last = life.renewals[-1]
        assert sent_days(last) == [0, 1, 3, 5]
        assert last.ended_at - last.due_at == 7 * DAY


@pytest.mark.rule("billing-hard-declines")
def test_a_lost_card_is_tried_once() -> None:
    for life in lives(only(PaymentBehaviour.LOST_CARD)):
        assert sent_days(life.renewals[-1]) == [0]
        assert life.canceled == "non_payment"


@pytest.mark.rule("billing-hard-declines")
def test_a_new_card_is_charged_at_once_and_keeps_the_customer() -> None:
    all_replace = ExpiredCard(replaced_percent=100, replaced_within_days=20)
    replaced = only(PaymentBehaviour.EXPIRED_CARD, Assumptions(expired_card=all_replace))
    for customer, life in zip(replaced.customers, lives(replaced), strict=True):
        [declined] = [each for each in life.renewals if each.declined_at is not None]
        assert declined.outcome == "recovered"
        assert declined.recovered_after == customer.replaced_after
        assert len(declined.sent_at) == 2
        assert len(life.renewals) == 3
    # A schedule that cancels before the card comes loses the customer.
    assert 0 < report(replaced, SHORT).involuntary_churn < 40


def test_money_that_comes_and_goes_decides_each_charge() -> None:
    short = only(PaymentBehaviour.SHORT_OF_MONEY)
    outcomes: set[str] = set()
    for customer, life in zip(short.customers, lives(short), strict=True):
        for renewal in life.renewals:
            *declined, last = (customer.has_money(at) for at in renewal.sent_at)
            assert not any(declined)
            assert last == (renewal.outcome != "lost")
            outcomes.add(renewal.outcome)
    assert outcomes == {"on_time", "recovered", "lost"}


def test_a_bank_answers_after_its_days() -> None:
    paying = Assumptions(bank_debit=BankDebit(answer_days=4, declined_percent=0))
    for renewal in renewals(only(PaymentBehaviour.BANK_DEBIT, paying)):
        assert renewal.outcome == "on_time"
        assert renewal.ended_at - renewal.due_at == 4 * DAY


def test_a_bank_that_declines_late_delays_the_retries() -> None:
    refusing = Assumptions(bank_debit=BankDebit(answer_days=4, declined_percent=100))
    for life in lives(only(PaymentBehaviour.BANK_DEBIT, refusing)):
        [renewal] = life.renewals
        # Counted from the first answer, on day 4; what falls due while the bank is silent comes
        # when it has answered.
        assert sent_days(renewal) == [0, 5, 9, 13, 18, 34]
        assert life.canceled == "non_payment"


def test_who_leaves_is_no_victim_of_dunning() -> None:
    told = report(only(PaymentBehaviour.LEAVES))
    assert told.involuntary_churn == told.lost_minor == 0
    # Some leave after their last renewal.
    assert 0 < told.voluntary_churn <= 40
    assert told.renewals_due < 40 * 3


def test_a_provider_that_is_away_delays_payments_and_declines_none() -> None:
    away = fleet(
        Assumptions(
            mix={PaymentBehaviour.PAYS: 90, PaymentBehaviour.BANK_DEBIT: 10},
            bank_debit=BankDebit(declined_percent=0),
            outages=(Outage(first_day=9, days=3), Outage(first_day=12, days=1)),
        )
    )
    [(_, first_end), (begins, ends)] = away.outages
    assert first_end == begins
    late = [each for each in renewals(away) if ends - 4 * DAY <= each.due_at < ends]
    assert late
    assert {each.outcome for each in renewals(away)} == {"on_time"}
    assert all(at >= ends for each in late for at in each.sent_at)
    assert {len(each.sent_at) for each in late} == {1}


@pytest.mark.rule("billing-dunning")
def test_dunning_begins_with_the_first_decline_however_long_the_provider_was_away() -> None:
    away = Assumptions(
        mix={PaymentBehaviour.DECLINED: 100}, outages=(Outage(first_day=0, days=35),)
    )
    for life in lives(fleet(away, months=1)):
        [renewal] = life.renewals
        first, *retries = renewal.sent_at
        # Twice a day it is tried whether the provider is back.
        assert timedelta(0) <= first - BEGINNING - 35 * DAY <= DAY / 2
        assert renewal.declined_at == first
        assert [at - first for at in retries] == [days * DAY for days in (1, 3, 7, 14, 30)]


@given(mixes(), schedules(), st.lists(OUTAGES, max_size=2), st.integers(0, 2**32))
def test_all_that_was_due_was_paid_lost_or_is_open(
    mix: Mix, schedule: DunningSchedule, outages: list[Outage], seed: int
) -> None:
    believed = Assumptions(mix=mix, outages=tuple(outages))
    told = report(fleet(believed, customers=12, seed=seed), schedule)
    assert told.due_minor == (
        told.on_time_minor + told.recovered_minor + told.lost_minor + told.open_minor
    )
    assert told.recovered_minor == told.recovered_minor_by_day[-1]
    assert told.recovered_minor == told.recovered * PRICE.amount_minor
    assert told.involuntary_churn + told.voluntary_churn <= told.started == 12
    assert told.attempts >= told.renewals_due


@given(mixes(), st.integers(0, 2**32))
def test_the_same_seed_draws_the_same_fleet(mix: Mix, seed: int) -> None:
    turned = dict(reversed(list(mix.items())))
    first = fleet(Assumptions(mix=mix), customers=12, seed=seed)
    assert fleet(Assumptions(mix=turned), customers=12, seed=seed) == first


def test_another_seed_is_other_luck() -> None:
    assert report(fleet(seed=1)) != report(fleet(seed=2))


def test_a_schedules_figures_do_not_depend_on_those_beside_it() -> None:
    compared = {
        "standard": STANDARD,
        "short": SHORT,
        "none": DunningSchedule(retry_days=(), cancel_days=3, stop_days=3),
    }
    met = fleet()
    alone = {name: report(met, schedule) for name, schedule in compared.items()}
    for order in permutations(compared):
        assert {name: report(met, compared[name]) for name in order} == alone


@given(mixes(), st.integers(0, 500))
def test_the_mix_is_kept_to_a_customer(mix: Mix, customers: int) -> None:
    parts = shares(mix, customers)
    assert sum(parts.values()) == customers
    for behaviour, percent in mix.items():
        assert abs(parts[behaviour] - percent * customers / 100) < 1


def test_days_to_recover_are_the_least_that_so_many_waited() -> None:
    beginning = fleet().ends_at
    paid = [
        Renewal(
            due_at=beginning,
            outcome="recovered",
            sent_at=(beginning, beginning + days * DAY),
            declined_at=beginning,
            ended_at=beginning + days * DAY,
        )
        for days in (1, 1, 3, 3, 3, 7, 7, 7, 14, 30)
    ]
    told = add_up(NamedSchedule(name="one", schedule=STANDARD), [Life(renewals=tuple(paid))], PRICE)
    assert (told.days_to_recover_p50, told.days_to_recover_p90) == (3, 14)
    assert told.recovered_minor_by_day[:4] == (0, 2 * 999, 2 * 999, 5 * 999)
    assert told.recovered_minor_by_day[30] == told.recovered_minor == 9990
    assert (told.retries, told.retries_per_recovered) == (10, 1)
