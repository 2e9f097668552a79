"""What `padawanforge clock` takes, and what it says of the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from services.clock import ClockError, advance, parse_duration, parse_instant
from services.stack.folder import StackFolder, StackInfo

CONSOLE = Console(quiet=True)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("90m", timedelta(minutes=90)),
        ("45s", timedelta(seconds=45)),
        ("1d12h30m", timedelta(days=1, hours=12, minutes=30)),
        ("0d", timedelta()),
    ],
)
def test_a_duration_is_days_hours_minutes_and_seconds(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1h1d", "1w", " 1d", "1d\n"])
def test_a_wrong_duration_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ClockError, match="write it like 30d, 12h, 90m or 1d12h"):
        parse_duration(text)


def test_an_instant_carries_its_offset() -> None:
    assert parse_instant("2026-03-01T09:00:00+01:00") == datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-03-01", "2026-03-01T08:00:00", "5"])
def test_a_wrong_instant_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ClockError, match="with its offset, like 2026-03-01T08:00:00Z"):
        parse_instant(text)


async def test_without_a_running_stack_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match=r"no stack runs from .* make run CLOCK=virtual"):
        await advance(tmp_path, "1d", CONSOLE)


async def test_a_stack_on_the_system_clock_is_refused(tmp_path: Path) -> None:
    StackFolder(tmp_path).publish(
        StackInfo(
            gateway="",
            api_key="k",
            nats="",
            nats_operator="",
            databases={},
            processes={},
            logs="",
        )
    )

    with pytest.raises(ClockError, match="runs on the system clock, which goes by itself"):
        await advance(tmp_path, "1d", CONSOLE)


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    StackFolder(tmp_path).info_path.write_text("{}")

    with pytest.raises(ClockError, match="is damaged"):
        await advance(tmp_path, "1d", CONSOLE)
