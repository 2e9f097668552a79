"""Where periods end."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.models import Interval
from services.billing.rules.periods import first_anchor, period_end

INTERVALS: st.SearchStrategy[Interval] = st.sampled_from(("month", "year"))
ZONES = st.sampled_from(
    ["UTC", "America/New_York", "America/Havana", "Pacific/Auckland", "Australia/Lord_Howe"]
)
ANCHORS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - an anchor has no zone
    max_value=datetime(2030, 1, 1),  # noqa: DTZ001 - an anchor has no zone
)


def local(text: str) -> datetime:
    """A time on the clock on the wall."""
    return datetime.fromisoformat(text).replace(tzinfo=None)


def clamped(anchor: datetime, periods: int, interval: Interval) -> datetime:
    """The anchor's time so many periods later, counted month by month."""
    year, month = anchor.year, anchor.month
    for _ in range(periods if interval == "month" else 12 * periods):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return anchor.replace(year=year, month=month, day=min(anchor.day, monthrange(year, month)[1]))


@pytest.mark.rule("billing-period")
@pytest.mark.parametrize(
    ("start", "timezone", "interval", "ends"),
    [
        (
            "2026-01-31T10:00Z",
            "UTC",
            "month",
            ["2026-02-28T10:00Z", "2026-03-31T10:00Z", "2026-04-30T10:00Z", "2026-05-31T10:00Z"],
        ),
        ("2024-01-31T10:00Z", "UTC", "month", ["2024-02-29T10:00Z", "2024-03-31T10:00Z"]),
        (
            "2024-01-31T05:00Z",
            "America/New_York",
            "month",
            ["2024-02-29T05:00Z", "2024-03-31T04:00Z"],
        ),
        # In Auckland it is the first of February already.
        (
            "2026-01-31T11:00Z",
            "Pacific/Auckland",
            "month",
            ["2026-02-28T11:00Z", "2026-03-31T11:00Z", "2026-04-30T12:00Z"],
        ),
        (
            "2024-02-29T00:00Z",
            "UTC",
            "year",
            ["2025-02-28T00:00Z", "2026-02-28T00:00Z", "2027-02-28T00:00Z", "2028-02-29T00:00Z"],
        ),
        ("2026-11-30T08:00Z", "UTC", "month", ["2026-12-30T08:00Z", "2027-01-30T08:00Z"]),
    ],
)
def test_periods_end_on_the_anchors_day_wherever_the_service_runs(
    host_zone: str, start: str, timezone: str, interval: Interval, ends: list[str]
) -> None:
    anchor = first_anchor(datetime.fromisoformat(start), timezone)
    found = [period_end(anchor, number, interval, timezone) for number in range(len(ends) + 1)]
    assert found == [datetime.fromisoformat(at) for at in [start, *ends]]


@pytest.mark.rule("billing-period")
@pytest.mark.parametrize(
    ("anchor", "timezone", "end"),
    [
        # 02:30 does not exist on that day, and 01:30 comes twice.
        ("2026-02-08T02:30", "America/New_York", "2026-03-08T07:00Z"),
        ("2026-02-08T02:00", "America/New_York", "2026-03-08T07:00Z"),
        ("2026-02-08T02:59:59.999999", "America/New_York", "2026-03-08T07:00Z"),
        ("2026-10-01T01:30", "America/New_York", "2026-11-01T05:30Z"),
        ("2026-08-27T02:30", "Pacific/Auckland", "2026-09-26T14:00Z"),
        # Samoa skipped a day.
        ("2011-11-30T12:00", "Pacific/Apia", "2011-12-30T10:00Z"),
    ],
)
def test_a_skipped_time_ends_after_the_gap_and_a_repeated_one_at_the_first(
    host_zone: str, anchor: str, timezone: str, end: str
) -> None:
    assert period_end(local(anchor), 1, "month", timezone) == datetime.fromisoformat(end)


@pytest.mark.rule("billing-period")
def test_an_anchor_in_a_repeated_hour_is_its_first(host_zone: str) -> None:
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    again = first + timedelta(hours=1)
    assert first_anchor(first, "America/New_York") == local("2026-11-01T01:30")
    anchor = first_anchor(again, "America/New_York")
    assert anchor.fold == 0
    assert period_end(anchor, 0, "month", "America/New_York") == first


@pytest.mark.rule("billing-period")
@given(anchor=ANCHORS, interval=INTERVALS, timezone=ZONES)
def test_ends_strictly_ascend(anchor: datetime, interval: Interval, timezone: str) -> None:
    ends = [period_end(anchor, number, interval, timezone) for number in range(40)]
    assert all(end < following for end, following in pairwise(ends))


@pytest.mark.rule("billing-period")
@given(anchor=ANCHORS, periods=st.integers(0, 600), interval=INTERVALS, timezone=ZONES)
def test_no_end_drifts_from_the_anchor(
    anchor: datetime, periods: int, interval: Interval, timezone: str
) -> None:
    zone, end = ZoneInfo(timezone), period_end(anchor, periods, interval, timezone)
    wanted, wall = clamped(anchor, periods, interval), end.astimezone(zone)
    a_second_before = (end - timedelta(seconds=1)).astimezone(zone)
    assert wall.date() == wanted.date()
    assert a_second_before.replace(tzinfo=None) < wanted <= wall.replace(tzinfo=None)
    # The first of a repeated hour; and later than wanted only where the clocks skip.
    assert wall.fold == 0
    skips = wall.utcoffset() != a_second_before.utcoffset()
    assert skips or wall.replace(tzinfo=None) == wanted
