"""What is known of a session, whatever order its reports come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from services.player.rules.retention import RetentionPolicy
from services.player.rules.sessions import (
    EARLIEST,
    as_session,
    becomes_completed,
    happened_at,
    merge,
)
from shared.messages.player import Session, SessionReported

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION = UUID("7a8c1c6e-7d4b-4b6a-9d53-111111111111")
PLAYER = UUID("7a8c1c6e-7d4b-4b6a-9d53-222222222222")


def report(status: str, **fields: object) -> Session:
    message = {"session_id": SESSION, "player_id": PLAYER, "status": status, **fields}
    return as_session(SessionReported(**message), NOW)  # type: ignore[arg-type] # varied by test


@pytest.mark.rule("player-stats")
def test_one_report_of_each_status_comes_to_the_same_in_any_order() -> None:
    reports = [
        report("active", started_at=NOW - timedelta(minutes=20), difficulty="hard"),
        report("abandoned", ended_at=NOW - timedelta(minutes=5)),
        report("completed", ended_at=NOW - timedelta(minutes=10), score=150, answered=3),
    ]
    results: list[Session | None] = []
    for order in permutations(reports):
        known: Session | None = None
        completions = 0
        for each in order:
            merged = merge(known, each)
            completions += becomes_completed(known, merged)
            known = merged
        assert completions == 1
        results.append(known)
    assert results[0] is not None
    assert all(result == results[0] for result in results)
    assert results[0].status == "completed"
    assert results[0].score == 150
    assert results[0].difficulty == "hard"
    assert results[0].ended_at == NOW - timedelta(minutes=10)
    assert results[0].started_at == NOW - timedelta(minutes=20)


@pytest.mark.rule("player-stats")
def test_a_repeat_changes_nothing_and_a_second_completion_is_ignored() -> None:
    known = report("completed", score=150)
    assert merge(known, known) == known
    assert merge(known, report("completed", score=999)).score == 150


def test_an_instant_is_never_later_than_the_services_own() -> None:
    assert happened_at(None, NOW) == NOW
    assert happened_at(NOW + timedelta(days=1), NOW) == NOW
    assert happened_at(NOW - timedelta(days=1), NOW) == NOW - timedelta(days=1)
    assert happened_at(datetime.min.replace(tzinfo=UTC), NOW) == EARLIEST


def test_an_active_session_has_no_end() -> None:
    session = report("active", ended_at=NOW)
    assert session.ended_at is None
    assert session.started_at == NOW


@pytest.mark.rule("player-cleanup")
def test_retention_is_a_span_of_time_not_of_the_calendar() -> None:
    cutoffs = RetentionPolicy().cutoffs(NOW)
    assert NOW - cutoffs.rows == timedelta(hours=30 * 24)
    assert NOW - cutoffs.guest_sessions == timedelta(hours=24)
