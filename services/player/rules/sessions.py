"""What is known of a game session after one more report, in whatever order they come."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from shared.messages.player import DEFAULT_DIFFICULTY, Session, SessionReported

FINALITY = {"active": 0, "abandoned": 1, "completed": 2}
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def happened_at(reported: datetime | None, now: datetime) -> datetime:
    """When something happened: never after `now`, whatever the reporter's clock says.

    Nothing before 2000 either: at the ends of the calendar a zone's offset overflows.
    """
    if reported is None or reported > now:
        return now
    return max(reported, EARLIEST)


def as_session(report: SessionReported, now: datetime) -> Session:
    """The report as a session of its own, with what it leaves out filled in."""
    ended_at = None if report.status == "active" else happened_at(report.ended_at, now)
    started_at = happened_at(report.started_at or ended_at, now)
    return Session(
        id=report.session_id,
        player_id=report.player_id,
        status=report.status,
        difficulty=report.difficulty,
        started_at=started_at,
        ended_at=ended_at,
        score=report.score,
        correct=report.correct,
        answered=report.answered,
        best_streak=report.best_streak,
    )


def merge(known: Session | None, report: Session) -> Session:
    """The more final report wins, the first of equals, and the earliest start; so one report of
    each status comes to the same in any order."""
    if known is None:
        return report
    final, other = known, report
    if FINALITY[report.status] > FINALITY[known.status]:
        final, other = report, known
    return replace(
        final,
        started_at=min(known.started_at, report.started_at),
        # A report that leaves it out says nothing about it.
        difficulty=other.difficulty if final.difficulty == DEFAULT_DIFFICULTY else final.difficulty,
    )


def becomes_completed(known: Session | None, merged: Session) -> bool:
    """Whether it is this report that completes the session."""
    return merged.status == "completed" and (known is None or known.status != "completed")
