"""`padawanforge simulate`: a process that compares schedules, and refuses what it cannot."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import msgspec

from services.billing.simulation.report import Comparison, ScheduleReport

SMALL = ("--customers", "60", "--months", "3")
STANDARD, SHORT = "standard=1,3,7,14,30:30", "short=1,3,5:7"


class Ended(NamedTuple):
    """How the command ended, and what it told."""

    code: int | None
    printed: str
    told: str


async def simulate(*arguments: str, hash_seed: int = 0) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "simulate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
    )
    output, errors = await process.communicate()
    return Ended(process.returncode, output.decode(), errors.decode())


async def compared(*schedules: str, hash_seed: int = 0, seed: int = 1) -> dict[str, ScheduleReport]:
    flags = [flag for each in schedules for flag in ("--schedule", each)]
    ended = await simulate(*SMALL, "--json", "--seed", str(seed), *flags, hash_seed=hash_seed)
    assert (ended.code, ended.told) == (0, "")
    comparison = msgspec.json.decode(ended.printed, type=Comparison)
    assert (comparison.customers, comparison.months, comparison.seed) == (60, 3, seed)
    return {each.name: each for each in comparison.schedules}


async def test_its_progress_is_drawn_on_a_terminal() -> None:
    terminal, process_side = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "simulate", *SMALL, "--schedule", SHORT),
        stdout=asyncio.subprocess.PIPE,
        stderr=process_side,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
    )
    os.close(process_side)
    output, _ = await process.communicate()
    drawn = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert process.returncode == 0
    assert "short" in drawn
    assert "short" in output.decode()


async def test_it_prints_and_draws_the_schedules(tmp_path: Path) -> None:
    svg = tmp_path / "chart.svg"
    ended = await simulate(*SMALL, "--schedule", STANDARD, "--schedule", SHORT, "--svg", str(svg))
    # Where there is no terminal, nothing but the table: no bar either.
    assert (ended.code, ended.told) == (0, "")
    for words in ("standard", "short", "1,3,7,14,30", "recovery rate", "days to recover, p90"):
        assert words in ended.printed
    assert ET.parse(svg).getroot().tag.endswith("svg")


async def test_the_same_seed_gives_the_same_result_in_whatever_order() -> None:
    first = await compared(STANDARD, SHORT, hash_seed=1)
    assert list(first) == ["standard", "short"]
    assert await compared(SHORT, STANDARD, hash_seed=2) == first
    assert (await compared(SHORT, hash_seed=3))["short"] == first["short"]
    assert await compared(STANDARD, SHORT, seed=2) != first


async def test_what_is_believed_comes_from_a_file_and_the_mix_from_a_flag(tmp_path: Path) -> None:
    file = tmp_path / "believed.toml"
    file.write_text("[mix]\npays = 100\n\n[[outages]]\nfirst_day = 3\ndays = 2\n")
    pays = await simulate(*SMALL, "--json", "--assumptions", str(file))
    lost = await simulate(
        *(*SMALL, "--json", "--assumptions", str(file), "--mix", "lost_card=100"),
        *("--price", "500", "--currency", "JPY"),
    )
    for report in msgspec.json.decode(pays.printed, type=Comparison).schedules:
        assert (report.declined, report.involuntary_churn) == (0, 0)
    comparison = msgspec.json.decode(lost.printed, type=Comparison)
    assert (comparison.price.amount_minor, comparison.price.currency) == (500, "JPY")
    assert {report.involuntary_churn for report in comparison.schedules} == {60}


async def test_what_is_wrong_ends_it_before_anything_is_written(tmp_path: Path) -> None:
    svg = tmp_path / "chart.svg"
    ended = await simulate(*SMALL, "--mix", "pays=90", "--svg", str(svg))
    assert (ended.code, ended.printed) == (1, "")
    assert ended.told == "--mix: `mix` adds up to 90 %: make it 100, such as with more `pays`\n"
    assert not svg.exists()
