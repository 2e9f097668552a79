"""What a customer is told while a payment is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.billing.rules.dunning import DunningSchedule, cancel_at
from services.billing.rules.past_due import NOTICES, due_day, next_notice_at

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def days(number: float) -> datetime:
    """An instant so many days after the first failure."""
    return SINCE + timedelta(days=number)


@pytest.mark.rule("billing-past-due-notices")
def test_thirty_days_of_hourly_runs_tell_five_notices_and_the_cancellation(host_zone: str) -> None:
    told, notices = list[int](), list[tuple[float, str]]()
    now = SINCE
    while now < cancel_at(DunningSchedule(), SINCE):
        day = due_day(SINCE, now, told)
        if day is not None:
            told.append(day)
            notices.append(((now - SINCE) / timedelta(days=1), NOTICES[day]))
        now += timedelta(hours=1)
    assert notices == [
        (0, "payment_failed"),
        (1, "payment_reminder"),
        (3, "payment_reminder"),
        (7, "final_notice"),
        (14, "final_notice"),
    ]
    # From here the cancellation tells itself; no day comes that would tell it first.
    assert now == days(30)
    assert all(due_day(SINCE, days(day), told) is None for day in (30, 31, 60))


@pytest.mark.rule("billing-past-due-notices")
@pytest.mark.parametrize(
    ("after_days", "told", "day"),
    [
        (-0.1, [], None),
        (0, [], 0),
        (2.9, [0], 1),
        (3, [0, 1], 3),
        # What an outage missed is not sent any more.
        (10, [0, 1], 7),
        (10, [0, 7], None),
        (40, [], 14),
    ],
)
def test_the_latest_notice_is_told_and_those_before_it_are_not(
    after_days: float, told: list[int], day: int | None
) -> None:
    assert due_day(SINCE, days(after_days), told) == day


@pytest.mark.rule("billing-past-due-notices")
@pytest.mark.parametrize(
    ("after_days", "told", "day"),
    [
        (-1, [], 0),
        (0, [], 0),
        (0, [0], 1),
        (2, [0], 1),
        (2, [0, 1], 3),
        (8, [0, 1, 7], 14),
        (20, [0], 14),
        (20, [0, 14], None),
    ],
)
def test_the_next_notice_is_known(after_days: float, told: list[int], day: int | None) -> None:
    expected = None if day is None else days(day)
    assert next_notice_at(SINCE, days(after_days), told) == expected
