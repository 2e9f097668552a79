"""Which log segments are archived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.maintenance.rules.segments import Segment, due
from services.maintenance.workflows.logs import LogRotation
from shared.messages.maintenance import LogsRotated
from shared.messages.segments import service_and_opening, stem
from shared.messages.workflows import StartSystem
from shared.testing.harness import Harness
from shared.workflow.context import WorkflowContext
from shared.workflow.registry import register

NOW = datetime(2026, 3, 20, 3, tzinfo=UTC)
WEEK = timedelta(days=7)


def segment(age: timedelta, unique: str = "1-a") -> Segment:
    return Segment(f"{stem('player', NOW - age, unique)}.jsonl", NOW - age)


def test_only_what_is_strictly_older_is_due() -> None:
    older, exact = segment(WEEK + timedelta(microseconds=1)), segment(WEEK)
    assert due([exact, older, segment(timedelta(0))], NOW, WEEK) == [older]


def test_due_segments_come_by_name_from_where_it_stopped() -> None:
    first, second = segment(2 * WEEK, "1-a"), segment(2 * WEEK, "2-b")
    assert due([second, first], NOW, WEEK) == [first, second]
    assert due([second, first], NOW, WEEK, first.name) == [second]


@pytest.mark.parametrize(
    "name",
    [
        "notes.jsonl",
        "player-20260301T080000.000000Z-1-a.open",
        "player-20261301T080000.000000Z-1-a.jsonl",
    ],
)
def test_other_files_are_nobodys_business(name: str) -> None:
    assert service_and_opening(name) is None
    assert due([Segment(name, NOW - 2 * WEEK)], NOW, WEEK) == []


class Alone:
    """A run of nothing but the rotation."""

    kind = "system"

    async def run(self, ctx: WorkflowContext, _start: StartSystem) -> LogsRotated:
        return await LogRotation("", 7)(ctx)


async def test_without_a_folder_there_is_nothing_to_do_and_it_says_so() -> None:
    async with Harness.in_memory([register(StartSystem, Alone())]) as harness:
        run = await harness.start(StartSystem())
        assert run.output == LogsRotated(note="LOG_DIR is not set")
