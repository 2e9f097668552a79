"""When a component counts as failed, and when that is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.maintenance.rules.health import (
    BAD_TO_FAIL,
    GOOD_TO_RECOVER,
    Standing,
    Told,
    attribute,
    judge,
    tell,
)
from services.maintenance.rules.progress import Backlog, Floor, follow, progress
from shared.messages.maintenance import ComponentHealth, HealthStatus

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STATUSES = st.sampled_from(["pass", "warn", "fail"])


def tellings(
    statuses: Sequence[HealthStatus], cooldown: timedelta = timedelta()
) -> list[tuple[int, Told]]:
    """What is told of a component that is looked at each second, and after how many looks."""
    standing, told = Standing(), Told()
    found: list[tuple[int, Told]] = []
    for looks, status in enumerate(statuses, 1):
        standing = judge(standing, status)
        news = tell(standing, told, START + looks * SECOND, cooldown)
        if news is not None:
            told = news
            found.append((looks, news))
    return found


@given(st.lists(STATUSES, max_size=60), st.integers(0, 20))
def test_an_incident_has_one_alert_and_at_most_one_recovery(
    statuses: list[HealthStatus], cooldown_seconds: int
) -> None:
    cooldown = cooldown_seconds * SECOND
    found = tellings(statuses, cooldown)
    assert [(told.incident, told.recovered) for _, told in found] == [
        (number // 2 + 1, number % 2 == 1) for number in range(len(found))
    ]
    for (_, before), (_, after) in pairwise(found):
        assert before.at is not None
        assert after.at is not None
        if before.recovered:
            assert after.at - before.at >= cooldown
    for looks, told in found:
        if told.recovered:
            assert "fail" not in statuses[looks - GOOD_TO_RECOVER : looks]


@given(st.lists(STATUSES, max_size=60))
def test_without_a_cooldown_exactly_three_bad_results_alert_and_two_good_ones_recover(
    statuses: list[HealthStatus],
) -> None:
    told = {looks: each.recovered for looks, each in tellings(statuses)}
    failed = False
    for looks in range(1, len(statuses) + 1):
        bad = [status == "fail" for status in statuses[:looks]]
        if not failed and bad[-BAD_TO_FAIL:] == [True] * BAD_TO_FAIL:
            failed = True
            assert told.pop(looks) is False
        elif failed and bad[-GOOD_TO_RECOVER:] == [False] * GOOD_TO_RECOVER:
            failed = False
            assert told.pop(looks) is True
    assert told == {}


def test_what_fails_again_within_the_cooldown_is_told_of_when_it_is_over() -> None:
    statuses: list[HealthStatus] = ["fail", "fail", "fail", "pass", "pass"]
    statuses.extend("fail" for _ in range(12))
    found = [(looks, told.recovered) for looks, told in tellings(statuses, 10 * SECOND)]
    assert found == [(3, False), (5, True), (15, False)]


def result(component: str, status: HealthStatus) -> ComponentHealth:
    return ComponentHealth(
        component=component, status=status, seconds=0.1, checked_at=START, since=START
    )


def test_a_failure_is_attributed_to_what_fails_beneath_it() -> None:
    stands_on = {"stream": ["jetstream"], "consumer": ["jetstream", "stream"], "other": ["stream"]}

    def causes(**statuses: HealthStatus) -> dict[str, str | None]:
        found = attribute([result(*each) for each in statuses.items()], stands_on)
        return {each.component: each.cause for each in found if each.status == "fail"}

    assert causes(jetstream="fail", stream="fail", consumer="fail", other="fail") == {
        "jetstream": None,
        "stream": "jetstream",
        "consumer": "jetstream",
        "other": "jetstream",
    }
    assert causes(jetstream="pass", stream="fail", consumer="fail", other="pass") == {
        "stream": None,
        "consumer": "stream",
    }


def backlog(pending: int = 0, unacknowledged: int = 0, ack_floor: int = 0) -> Backlog:
    return Backlog(pending, unacknowledged, redelivered=0, ack_floor=ack_floor)


def test_a_consumer_is_stuck_that_has_work_and_acknowledges_nothing_for_long() -> None:
    floor: Floor | None = None
    seen: list[HealthStatus] = []
    for now, each in enumerate(
        [
            backlog(),
            backlog(pending=1),
            backlog(pending=1),
            backlog(unacknowledged=1),
            backlog(unacknowledged=1),
            backlog(unacknowledged=1, ack_floor=1),
            backlog(pending=1, ack_floor=1),
            backlog(ack_floor=1),
        ]
    ):
        floor = follow(floor, each, now)
        seen.append(progress(floor, each, now, stuck_seconds=4)[0])
    assert seen == ["pass", "pass", "warn", "warn", "fail", "pass", "pass", "pass"]
