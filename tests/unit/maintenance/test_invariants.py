"""What is told of two looks at the same invariants."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.maintenance.rules.invariants import News, news, notice, of_statuses
from shared.messages.invariants import Violation, Violations
from shared.messages.statuses import Reason, StatusDifference

SINCE = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def violation(subject: str, invariant: str = "sums") -> Violation:
    return Violation(invariant=invariant, subject=subject, detail="wrong")


def found(*subjects: str, count: int | None = None) -> Violations:
    counts = {"sums": len(subjects) if count is None else count}
    return Violations(violations=tuple(map(violation, subjects)), counts=counts)


@pytest.mark.rule("maintenance-invariants")
def test_what_is_new_is_broken_and_what_is_gone_is_restored() -> None:
    known = [("sums", "a"), ("sums", "b")]
    assert news(known, found("b", "c")) == News((violation("c"),), (("sums", "a"),))
    assert news(known, found("a", "b")) == News((), ())
    assert news(known, Violations(violations=())) == News((), tuple(known))


@pytest.mark.rule("maintenance-invariants")
def test_what_more_than_a_page_hides_is_not_restored() -> None:
    assert news([("sums", "z")], found("a", "b", count=3)).restored == ()
    assert news([("sums", "z")], found("a", "b", count=2)).restored == (("sums", "z"),)


@pytest.mark.rule("maintenance-invariants")
@pytest.mark.parametrize(
    ("reason", "told"),
    [("missing", 0), ("behind", 0), ("altered", 1), ("ahead", 1), ("orphan", 1)],
)
def test_what_a_crash_leaves_is_told_to_nobody(reason: Reason, told: int) -> None:
    difference = StatusDifference(kind="player", id="one", reason=reason, mended=True)
    assert len(of_statuses([difference])) == told


@pytest.mark.rule("maintenance-invariants")
def test_a_notice_fits_whatever_the_subject() -> None:
    keys = {
        notice("invariant_broken", "maintenance", violation("x" * length, "i" * 60), SINCE).key
        for length in (1, 80, 81, 10_000)
    }
    assert len(keys) == 4
    assert max(map(len, keys)) <= 200
