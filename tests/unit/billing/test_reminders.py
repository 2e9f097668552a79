"""What a customer is told before a period ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.billing.models import SubscriptionStatus
from services.billing.rules.reminders import reminder

END = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.mark.rule("billing-renewal-reminder")
@pytest.mark.parametrize(
    ("left", "days"),
    [
        (timedelta(days=7, seconds=1), None),
        (timedelta(days=7), 7),
        (timedelta(days=6, seconds=1), 7),
        (timedelta(days=6), 6),
        (timedelta(seconds=1), 1),
        (timedelta(), None),
        (-timedelta(seconds=1), None),
    ],
)
@pytest.mark.parametrize("ending", [False, True])
def test_a_reminder_comes_in_the_last_seven_days(
    host_zone: str, left: timedelta, days: int | None, ending: bool
) -> None:
    found = reminder(SubscriptionStatus.ACTIVE, END, ending, END - left)
    if days is None:
        assert found is None
    else:
        name = "ending_notice" if ending else "renewal_reminder"
        assert found is not None
        assert (found.name, found.days) == (name, days)


@pytest.mark.rule("billing-renewal-reminder")
def test_only_who_will_be_charged_or_lose_it_is_reminded() -> None:
    now = END - timedelta(days=1)
    reminded = {status for status in SubscriptionStatus if reminder(status, END, False, now)}
    assert reminded == {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING}
