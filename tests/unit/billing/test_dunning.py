"""When a declined payment is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.rules.dunning import DunningSchedule, cancel_at, next_retry, stop_at

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEDULE = DunningSchedule()


def days(number: float) -> datetime:
    """An instant so many days after the first failure."""
    return SINCE + timedelta(days=number)


def attempts(delays: list[timedelta]) -> list[datetime]:
    """When automatic attempts run that are all declined, each so late after it fell due."""
    made, last, rest = list[datetime](), SINCE, list(delays)
    while (due_at := next_retry(SCHEDULE, SINCE, last)) is not None:
        last = max(due_at, last) + (rest.pop(0) if rest else timedelta())
        made.append(last)
        assert len(made) <= 5
    return made


@pytest.mark.rule("billing-dunning")
@pytest.mark.parametrize("late_seconds", [0, 40])
def test_retries_are_counted_from_the_first_failure(late_seconds: int) -> None:
    late = timedelta(seconds=late_seconds)
    assert attempts([late] * 5) == [days(day) + late for day in (1, 3, 7, 14, 30)]


@pytest.mark.rule("billing-dunning")
def test_the_first_attempt_is_sent_before_its_failure_is_known() -> None:
    assert next_retry(SCHEDULE, SINCE, SINCE - timedelta(seconds=30)) == days(1)
    assert next_retry(SCHEDULE, SINCE, None) == days(1)


@pytest.mark.rule("billing-dunning")
@pytest.mark.parametrize(
    ("last", "following"),
    [
        # The last attempt came so late that others were missed: they are not made up for.
        (8.5, 14),
        (3, 7),
        (15, 30),
        # And so late that the next one would follow within 24 hours.
        (6.5, 7.5),
        (13.75, 14.75),
        (29.5, 30.5),
        (30, None),
        (36, None),
    ],
)
def test_what_an_outage_missed_is_one_attempt(last: float, following: float | None) -> None:
    expected = None if following is None else days(following)
    assert next_retry(SCHEDULE, SINCE, days(last)) == expected


@pytest.mark.rule("billing-dunning")
def test_a_missed_retry_is_due_at_its_own_instant_however_late_it_is_asked_for() -> None:
    assert next_retry(SCHEDULE, SINCE, days(1)) == days(3)


@pytest.mark.rule("billing-dunning")
@given(st.lists(st.timedeltas(timedelta(), timedelta(days=40)), max_size=5))
def test_however_late_they_run_there_are_five_at_most_a_day_apart(delays: list[timedelta]) -> None:
    made = attempts(delays)
    assert made
    before = [SINCE, *made]
    assert all(later - at >= timedelta(hours=24) for at, later in zip(before, made, strict=False))


@pytest.mark.rule("billing-dunning")
def test_the_ends_of_waiting_are_counted_from_the_first_failure_too() -> None:
    assert cancel_at(SCHEDULE, SINCE) == days(30)
    assert stop_at(SCHEDULE, SINCE) == days(37)
    short = DunningSchedule(retry_days=(2,), cancel_days=5, stop_days=6, least_gap_hours=1)
    assert (cancel_at(short, SINCE), stop_at(short, SINCE)) == (days(5), days(6))


def test_a_schedule_may_have_no_retries() -> None:
    none = DunningSchedule(retry_days=(), cancel_days=1, stop_days=1)
    assert next_retry(none, SINCE, SINCE) is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"retry_days": (3, 1)}, "retry_days"),
        ({"retry_days": (1, 1)}, "retry_days"),
        ({"retry_days": (0, 1)}, "retry_days"),
        ({"cancel_days": 29}, "cancel_days"),
        ({"retry_days": (), "cancel_days": 0}, "cancel_days"),
        ({"stop_days": 29}, "stop_days"),
        ({"least_gap_hours": 0}, "least_gap_hours"),
    ],
)
def test_a_wrong_schedule_is_refused_by_its_field(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"`{field}`"):
        msgspec.convert(wrong, DunningSchedule)
