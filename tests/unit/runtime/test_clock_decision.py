"""What is done with the virtual clock next, from two looks at all processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.messages.clock import Activity, ClockReport
from shared.runtime.virtual.decision import Arrived, Look, SetTo, Wait, decide

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
TARGET = NOW + 10 * HOUR
IDLE = Activity(commits=7, open_transactions=0, unsent=0, held=0, due_at=None)
SERVICES = ("north", "south")


def report(service: str | None, instant: datetime = NOW, **activity: Any) -> ClockReport:
    return ClockReport(
        member=service or "gateway",
        service=service,
        instant=instant,
        activity=None if service is None else replace(IDLE, **activity),
    )


def look(*reports: ClockReport, **queues: Any) -> Look:
    return Look((*reports, report(None, reports[0].instant)), **queues)


def both(**activity: Any) -> Look:
    return look(report("north"), report("south", **activity))


def test_the_clock_stops_at_the_earliest_instant_of_all_services() -> None:
    seen = look(report("north", due_at=NOW + 3 * HOUR), report("south", due_at=NOW + 2 * HOUR))

    assert decide(seen, seen, SERVICES, TARGET) == SetTo(NOW + 2 * HOUR)


@pytest.mark.parametrize("due_at", [None, TARGET, TARGET + HOUR])
def test_it_goes_to_the_target_when_nothing_is_due_before(due_at: datetime | None) -> None:
    seen = both(due_at=due_at)

    assert decide(seen, seen, SERVICES, TARGET) == SetTo(TARGET)


@pytest.mark.parametrize("target", [NOW, NOW - HOUR])
def test_it_has_arrived_at_the_target_or_past_it_once_all_are_idle(target: datetime) -> None:
    seen = both(due_at=NOW + HOUR)

    assert decide(seen, seen, SERVICES, target) == Arrived()
    assert isinstance(decide(None, seen, SERVICES, target), Wait)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (both(held=2), "south: 2 instances"),
        (both(open_transactions=1), "south: 1 transactions"),
        (both(unsent=3), "south: 3 messages of the outbox"),
        (both(due_at=NOW), "south: what was due at 2026-03-01T08:00:00"),
        (both(due_at=NOW - HOUR), "south: what was due at 2026-03-01T07:00:00"),
        (look(report("north"), report("south"), waiting=4), "4 messages wait"),
        (look(report("north"), report("south"), silent=("south-1",)), "south-1 does not answer"),
        (look(report("north")), "no process of south"),
        (Look(()), "no process of north"),
    ],
)
def test_it_waits_while_anything_is_unfinished_and_says_what(changed: Look, reason: str) -> None:
    action = decide(changed, changed, SERVICES, TARGET)

    assert isinstance(action, Wait)
    assert action.reason.startswith(reason)


@pytest.mark.parametrize(
    "before",
    [
        None,
        both(held=1),
        both(commits=6),
        look(report("north"), report("south"), delivered=1),
        look(report("north"), report("south"), waiting=1),
        look(report("north", NOW - HOUR), report("south", NOW - HOUR)),
    ],
)
def test_one_idle_look_is_not_enough_nor_two_with_something_done_in_between(
    before: Look | None,
) -> None:
    assert isinstance(decide(before, both(), SERVICES, TARGET), Wait)


@pytest.mark.parametrize("held", [0, 1])
def test_who_is_behind_is_brought_to_the_latest_instant_first(held: int) -> None:
    seen = look(report("north", NOW, held=held), report("south", NOW + HOUR))

    assert decide(None, seen, SERVICES, TARGET) == SetTo(NOW + HOUR)


@given(
    st.lists(st.tuples(st.sampled_from(SERVICES), st.integers(1, 100)), max_size=20),
    st.integers(0, 100),
)
def test_a_journey_stops_at_each_instant_once_in_order_and_ends_at_the_target(
    timers: list[tuple[str, int]], hours: int
) -> None:
    """The world of the decision: each look shows what is due, each set lets it be done."""
    now, target = NOW, NOW + hours * HOUR
    left = [(service, NOW + due * HOUR) for service, due in timers]
    fired: list[datetime] = []
    before: Look | None = None
    for commits in count():
        seen = look(
            *(
                report(
                    service,
                    now,
                    commits=len(fired),
                    due_at=min((at for owner, at in left if owner == service), default=None),
                )
                for service in SERVICES
            )
        )
        action = decide(before, seen, SERVICES, target)
        assert commits < 200
        before = seen
        if isinstance(action, Arrived):
            break
        if isinstance(action, SetTo):
            assert action.instant > now
            now = action.instant
        due = [timer for timer in left if timer[1] <= now]
        left = [timer for timer in left if timer not in due]
        assert all(at == now for _, at in due)
        fired += [at for _, at in due]

    assert now == target
    assert fired == sorted(NOW + due * HOUR for _, due in timers if due <= hours)
