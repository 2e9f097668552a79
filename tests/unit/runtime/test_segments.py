"""Log segments are closed by size, by age, and after their writer's death."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from shared.messages.segments import service_and_opening
from shared.runtime.config import ConfigurationError, Settings, load
from shared.runtime.logging import configure
from shared.runtime.segments import SegmentHandler, close_abandoned, open_segments

OPENED = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Machine:
    """Its monotonic clock."""

    def __init__(self) -> None:
        self.seconds = 0.0


MakeHandler = Callable[[], SegmentHandler]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make(tmp_path: Path, machine: Machine) -> Iterator[MakeHandler]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    made: list[SegmentHandler] = []

    def make_handler() -> SegmentHandler:
        made.append(
            SegmentHandler(
                tmp_path,
                "player",
                limit_bytes=500,
                limit_seconds=60,
                now=lambda: OPENED,
                machine_seconds=lambda: machine.seconds,
            )
        )
        return made[-1]

    yield make_handler
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for each in made:
        each.close()


def records(lines: str) -> list[dict[str, object]]:
    """Without the instants: a library's record gets one in each place where it is written."""
    found: list[dict[str, object]] = [json.loads(line) for line in lines.splitlines()]
    for each in found:
        del each["timestamp"]
    return found


def closed(folder: Path) -> list[Path]:
    return list(folder.glob("*.jsonl"))


def opened(folder: Path) -> list[Path]:
    return list(folder.glob("*.open"))


def test_a_segment_has_the_lines_of_stdout_without_secrets(
    make: MakeHandler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make()
    configure("player", segments=handler)
    structlog.get_logger().info("step_done", password="hush", url="nats://a:b@host")
    logging.getLogger("library").warning("slow")
    handler.close()

    [path] = closed(tmp_path)
    assert records(path.read_text()) == records(capsys.readouterr().out)
    assert "hush" not in path.read_text()
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "step_done",
        "slow",
    ]
    assert service_and_opening(path.name) == ("player", OPENED)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_segment_is_closed_and_no_line_is_lost_or_cut(
    make: MakeHandler, tmp_path: Path
) -> None:
    handler = make()
    configure("player", segments=handler)
    for number in range(20):
        structlog.get_logger().info("line", number=number)
    handler.close()

    assert len(closed(tmp_path)) > 3
    assert all(0 < path.stat().st_size <= 500 for path in closed(tmp_path))
    lines = [line for path in closed(tmp_path) for line in path.read_text().splitlines()]
    assert sorted(json.loads(line)["number"] for line in lines) == list(range(20))


def test_an_old_segment_is_closed_when_the_next_line_comes(
    make: MakeHandler, tmp_path: Path, machine: Machine
) -> None:
    configure("player", segments=make())
    structlog.get_logger().info("one")
    machine.seconds = 59.9
    structlog.get_logger().info("two")
    assert closed(tmp_path) == []

    machine.seconds = 60
    structlog.get_logger().info("three")
    [path] = closed(tmp_path)
    assert len(path.read_text().splitlines()) == 2


def test_a_segment_without_a_line_leaves_no_file(make: MakeHandler, tmp_path: Path) -> None:
    make().close()
    assert list(tmp_path.iterdir()) == []


def test_only_a_dead_writers_segment_is_closed(make: MakeHandler, tmp_path: Path) -> None:
    configure("player", segments=make())
    structlog.get_logger().info("alive")
    code = (
        "import os, signal, sys; from shared.runtime.logging import configure\n"
        "from shared.runtime.segments import open_segments\n"
        "from shared.runtime.config import Settings, load\n"
        "import structlog\n"
        "settings = load(Settings, {'NATS_URL': 'nats://x', 'LOG_DIR': sys.argv[1]})\n"
        "configure('billing', segments=open_segments('billing', settings))\n"
        "structlog.get_logger().info('last_words')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (len(opened(tmp_path)), closed(tmp_path)) == (2, [])

    [name] = close_abandoned(tmp_path)

    assert json.loads((tmp_path / name).read_text())["event"] == "last_words"
    assert len(opened(tmp_path)) == 1
    assert close_abandoned(tmp_path) == []


def test_trouble_is_told_once_and_the_next_lines_are_written_again(
    make: MakeHandler,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure("player", segments=make())
    log, write = structlog.get_logger(), os.write
    log.info("before")

    def half(descriptor: int, data: bytes) -> int:
        if len(data) > 10:
            return write(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        log.info("x")
        log.info("y")
    log.info("after")

    told = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["before", "x", "log_segment_failed", "y", "after"]
    [path] = opened(tmp_path)
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == [
        "before",
        "after",
    ]


def test_a_folder_that_is_missing_is_refused_with_the_variables_name(tmp_path: Path) -> None:
    settings = load(Settings, {"NATS_URL": "nats://x", "LOG_DIR": str(tmp_path / "missing")})
    with pytest.raises(ConfigurationError, match=r"LOG_DIR: .*No such file"):
        open_segments("player", settings)
    assert open_segments("player", load(Settings, {"NATS_URL": "nats://x"})) is None
