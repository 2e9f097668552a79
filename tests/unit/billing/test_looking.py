"""When a customer's run has something to do about a subscription next."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.billing.models import SubscriptionStatus
from services.billing.rules.looking import BILLED, LOOK_AGAIN, Facts, next_look_at
from services.billing.rules.past_due import due_day
from services.billing.rules.reminders import reminder

END = datetime(2026, 3, 31, 12, tzinfo=UTC)
ACTIVE = Facts(status=SubscriptionStatus.ACTIVE, period_end=END)
PAST_DUE = Facts(
    status=SubscriptionStatus.PAST_DUE, period_end=END, past_due_since=END, billing=True
)
INSTANTS = st.integers(-40 * 24, 40 * 24).map(lambda hours: END + timedelta(hours=hours))
FACTS = st.builds(
    Facts,
    status=st.sampled_from(SubscriptionStatus),
    period_end=st.just(END),
    cancel_at_period_end=st.booleans(),
    past_due_since=INSTANTS,
    billing=st.booleans(),
    unsynced=st.booleans(),
    reminded=st.booleans(),
    told_days=st.lists(st.sampled_from([0, 1, 3, 7, 14])).map(tuple),
    usage_day=st.none() | INSTANTS.map(datetime.date),
)


def something_is_due(facts: Facts, now: datetime) -> bool:
    """What the rules of reminders, notices, billing and use say themselves."""
    if facts.status is SubscriptionStatus.CANCELED:
        return False
    told = reminder(facts.status, facts.period_end, facts.cancel_at_period_end, now)
    due = told is not None and not facts.reminded
    if facts.status is SubscriptionStatus.PAST_DUE and facts.billing:
        assert facts.past_due_since is not None
        due |= due_day(facts.past_due_since, now, facts.told_days) is not None
    if now >= facts.period_end:
        due |= facts.cancel_at_period_end or (facts.status in BILLED and not facts.billing)
    if facts.usage_day is not None and facts.status is not SubscriptionStatus.INCOMPLETE:
        due |= now.date() > facts.usage_day
    return due


def end(days: float) -> datetime:
    """An instant so many days after the end of the period."""
    return END + timedelta(days=days)


@pytest.mark.parametrize("status", [SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING])
def test_it_is_reminded_then_billed_then_left_to_its_renewal(status: SubscriptionStatus) -> None:
    facts = replace(ACTIVE, status=status)
    assert next_look_at(facts, end(-20)) == end(-7)
    assert next_look_at(facts, end(-6)) == end(-7)
    assert next_look_at(replace(facts, reminded=True), end(-6)) == END
    # The time for a reminder is over.
    assert next_look_at(facts, END) == END
    assert next_look_at(replace(facts, reminded=True, billing=True), END) == end(1)


def test_an_incomplete_one_is_billed_at_once_and_nothing_else() -> None:
    facts = Facts(status=SubscriptionStatus.INCOMPLETE, period_end=END, usage_day=date(2026, 3, 10))
    assert next_look_at(facts, END) == END
    assert next_look_at(facts, end(-1)) == END
    assert next_look_at(replace(facts, billing=True), END) == end(1)


def test_a_past_due_one_is_looked_at_for_each_notice_and_once_a_day() -> None:
    facts, now, told = PAST_DUE, END, list[datetime]()
    for _ in range(40):
        day = due_day(END, now, facts.told_days)
        if day is not None:
            told.append(now)
            facts = replace(facts, told_days=(*facts.told_days, day))
        at = next_look_at(facts, now)
        assert at is not None
        assert now < at <= now + LOOK_AGAIN
        now = at
    assert told == [end(0), end(1), end(3), end(7), end(14)]


def test_a_provider_that_could_not_be_told_is_told_the_next_day() -> None:
    facts = replace(ACTIVE, unsynced=True)
    assert next_look_at(facts, end(-20)) == end(-19)
    assert next_look_at(replace(facts, unsynced=False), end(-20)) == end(-7)


def test_canceling_at_the_end_waits_for_no_renewal() -> None:
    ending = replace(ACTIVE, cancel_at_period_end=True, reminded=True, billing=True)
    assert next_look_at(ending, end(-1)) == END
    assert next_look_at(replace(PAST_DUE, cancel_at_period_end=True), end(2)) == END


def test_a_day_of_use_is_closed_when_it_is_over_in_utc() -> None:
    facts = replace(ACTIVE, usage_day=date(2026, 3, 10))
    assert next_look_at(facts, end(-20)) == datetime(2026, 3, 11, tzinfo=UTC)


@given(facts=FACTS, now=INSTANTS)
def test_a_canceled_one_is_never_looked_at(facts: Facts, now: datetime) -> None:
    canceled = replace(facts, status=SubscriptionStatus.CANCELED)
    assert next_look_at(canceled, now) is None


@given(facts=FACTS, now=INSTANTS)
def test_it_is_looked_at_exactly_where_something_is_due(facts: Facts, now: datetime) -> None:
    at = next_look_at(facts, now)
    assert (at is not None and at <= now) == something_is_due(facts, now)


@given(facts=FACTS, now=INSTANTS)
def test_one_that_goes_on_is_never_forgotten(facts: Facts, now: datetime) -> None:
    if facts.status is SubscriptionStatus.CANCELED:
        return
    # A past due one owes an open invoice.
    billing = facts.billing or facts.status is SubscriptionStatus.PAST_DUE
    assert next_look_at(replace(facts, billing=billing), now) is not None
