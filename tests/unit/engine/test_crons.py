"""Nominal times of crons, above all when the clocks change, and what a declaration may say."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages.base import MAX_CONTENT_BYTES, is_workflow_id
from shared.messages.workflows import Trigger
from shared.runtime.crons import checked
from shared.testing.samples import SampleWorkflow, StartSample
from shared.workflow.crons import Cron, Timetable, nominal_id
from shared.workflow.registry import Registry, register

SPRING = datetime(2026, 3, 27, tzinfo=UTC)
"""Europe/Berlin skips 02:00 to 03:00 on the 29th, at 01:00 UTC."""
AUTUMN = datetime(2026, 10, 23, tzinfo=UTC)
"""Europe/Berlin repeats 02:00 to 03:00 on the 25th, at 00:00 and 01:00 UTC."""


@cache
def times(expression: str, zone: str, since: datetime, days: int = 5) -> list[datetime]:
    """The nominal times of so many days, each found from the one before."""
    timetable = Timetable(expression, zone)
    found: list[datetime] = []
    at = since
    while (at := timetable.after(at)) < since + timedelta(days=days):
        found.append(at)
    return found


def clock(at: datetime) -> str:
    return f"{at:%d %H:%M}"


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 3 * * *", "0 0 * * *", "59 23 * * *"])
@pytest.mark.parametrize("change", [SPRING, AUTUMN])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "America/Havana"])
def test_a_daily_cron_comes_once_on_every_day_also_of_23_and_25_hours(
    expression: str, change: datetime, zone: str
) -> None:
    month = times(expression, zone, change - timedelta(days=25), days=40)
    dates = [at.astimezone(Timetable(expression, zone).zone).date() for at in month]
    assert len(dates) >= 39
    assert dates == [dates[0] + timedelta(days=number) for number in range(len(dates))]


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize(
    ("expression", "since", "expected"),
    [
        # 02:30 does not exist on the 29th: at the first instant after the gap.
        ("30 2 * * *", SPRING, ["27 01:30", "28 01:30", "29 01:00", "30 00:30", "31 00:30"]),
        # 02:30 is there twice on the 25th: at the first.
        ("30 2 * * *", AUTUMN, ["23 00:30", "24 00:30", "25 00:30", "26 01:30", "27 01:30"]),
        # Two times in the gap are one.
        ("0,30 2 29 3 *", SPRING, ["29 01:00"]),
        # By the clock on the wall: nothing in the gap, both of the repeated hour.
        ("*/30 2 29-30 3 *", SPRING, ["30 00:00", "30 00:30"]),
        ("*/30 2 25 10 *", AUTUMN, ["25 00:00", "25 00:30", "25 01:00", "25 01:30"]),
    ],
)
def test_times_in_the_gap_and_in_the_repeated_hour_come_as_told(
    expression: str, since: datetime, expected: list[str]
) -> None:
    assert [clock(at) for at in times(expression, "Europe/Berlin", since)] == expected


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize("minute", [0, 15, 30, 45])
def test_within_the_repeated_hour_its_first_pass_is_over(minute: int) -> None:
    now = datetime(2026, 10, 25, 1, minute, tzinfo=UTC)
    first_pass, following = (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "26 01:30")
    timetable = Timetable("30 2 * * *", "Europe/Berlin")
    assert clock(timetable.after(now)) == following
    due = timetable.due(datetime(2026, 10, 24, 0, 30, tzinfo=UTC), now)
    assert (due[0], clock(due[1])) == (first_pass, following)


EXPRESSIONS = ("30 2 * * *", "0,30 1-3 * * *", "*/20 * * * *", "*/30 2 * * *", "15 0 * * SUN")


@pytest.mark.rule("engine-28")
@settings(deadline=None)
@given(
    expression=st.sampled_from(EXPRESSIONS),
    change=st.sampled_from([SPRING, AUTUMN]),
    zone=st.sampled_from(["Europe/Berlin", "America/Havana", "Antarctica/Troll", "UTC"]),
    second=st.integers(0, 4 * 86_400 - 1),
    missed=st.integers(0, 200),
)
def test_wherever_one_asks_from_the_times_are_the_same(
    expression: str, change: datetime, zone: str, second: int, missed: int
) -> None:
    everything = times(expression, zone, change - timedelta(days=20), days=40)
    now = change + timedelta(seconds=second)
    following = bisect_right(everything, now)
    timetable = Timetable(expression, zone)
    assert timetable.after(now) == everything[following]
    since = everything[max(0, following - 1 - missed)]
    assert timetable.due(since, now) == (everything[following - 1], everything[following])


def test_what_was_missed_for_years_is_found_without_a_walk_through_every_minute() -> None:
    since, now = datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, 5, 0, 30, tzinfo=UTC)
    due = Timetable("* * * * *", "Europe/Berlin").due(since, now)
    assert [clock(at) for at in due] == ["01 05:00", "01 05:01"]


@pytest.mark.rule("engine-28")
def test_the_id_of_a_nominal_time_is_an_instances_id_also_of_the_longest_name() -> None:
    at = datetime(2026, 3, 2, 3, tzinfo=UTC)
    assert nominal_id("nightly", at) == "nightly-20260302T030000Z"
    for name in ("x" * 63, "_", "9-a"):
        Cron(name, StartSample(), "0 3 * * *")
        assert is_workflow_id(nominal_id(name, at))
        assert is_workflow_id(f"{name}-{uuid4()}")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "x" * 64}, "`name` has 1 to 63 letters"),
    ({"name": ""}, "`name`"),
    ({"name": "-a"}, "`name`"),
    ({"name": "a.b"}, "`name`"),
    ({"name": "a\n"}, "`name`"),
    ({"expression": "0 3 * *"}, "`expression` .* five fields"),
    ({"expression": "0 0 3 * * *"}, "`expression` .* five fields"),
    ({"expression": "@daily"}, "`expression` .* five fields"),
    ({"expression": "0 3 * * " + "1," * 200 + "1"}, "`expression` .* up to 200"),
    ({"expression": "60 3 * * *"}, r"`expression` .*Bad minute"),
    ({"expression": "0 3 31 4 *"}, r"`expression` .*Bad day-of-month"),
    ({"expression": "0 3 * * MON-"}, r"`expression` .*Bad day-of-week"),
    ({"time_zone": "Mars/Olympus"}, "`time_zone` .* IANA"),
    ({"time_zone": "../etc/passwd"}, "`time_zone`"),
    ({"trigger": StartSample(id="one")}, "`trigger` .* leave out id"),
    ({"trigger": StartSample(start_at=SPRING)}, "`trigger` .* start_at"),
    ({"trigger": StartSample(trigger_time=SPRING)}, "`trigger` .* trigger_time"),
]


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize(("changed", "told"), WRONG)
def test_a_wrong_declaration_is_refused_with_the_field_named(
    changed: dict[str, Any], told: str
) -> None:
    right: dict[str, Any] = {"name": "c", "trigger": StartSample(), "expression": "0 3 * * *"}
    Cron(**right)
    with pytest.raises(ValueError, match=told):
        Cron(**{**right, **changed})


class StartLetter(Trigger, frozen=True, kw_only=True):
    kind = "letter"
    service = "sample"

    text: str = ""


def test_a_trigger_too_large_for_a_message_is_refused() -> None:
    with pytest.raises(ValueError, match="`trigger` has over"):
        Cron("c", StartLetter(text="x" * MAX_CONTENT_BYTES), "0 3 * * *")


@pytest.mark.rule("engine-28")
@pytest.mark.parametrize(
    ("crons", "revision", "told"),
    [
        ([Cron("c", StartSample(), "0 3 * * *")], 0, "`crons_revision` is missing: give 1"),
        ([Cron("c", StartSample(), "0 3 * * *")] * 2, 1, "'c' is declared twice"),
        ([Cron("c", StartLetter(), "0 3 * * *")], 1, "no workflow of kind 'letter'"),
    ],
)
def test_crons_that_do_not_fit_their_service_are_refused(
    crons: list[Cron], revision: int, told: str
) -> None:
    registry = Registry([register(StartSample, SampleWorkflow())])
    with pytest.raises(ValueError, match=told):
        checked(crons, revision, registry)
