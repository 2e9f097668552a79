"""What was measured of parked instances, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from tests.benchmarks.parked.scans import Scan
from tests.benchmarks.report import ratios, spread, table
from tests.plans import Plan

MEBIBYTE = 1024 * 1024


class Life(msgspec.Struct, kw_only=True):
    """Of the service's process in one house."""

    rss_idle_bytes: int = 0
    """Some looks of the timekeeper after its start."""
    rss_after_bytes: int = 0
    """After the last wake."""
    per_second: list[float] = []
    """Of due instances: from the commit that makes them due until all are complete."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured, with what it ran on; of pairs, the full house is the second."""

    machine: str
    method: str
    parked: int
    scans: list[Scan]
    lives: tuple[Life, Life]


def markdown(report: Report) -> str:
    """The tables with their circumstances, to be pasted into a document."""
    empty, full = report.lives
    houses = ("nothing else parked", f"{report.parked:,} parked")
    looks = [
        (
            scan.situation,
            *(spread(each, 2) for each in scan.looks_ms),
            f"{median(scan.looks_ms[1]) / median(scan.looks_ms[0]):.2f}",
        )
        for scan in report.scans
    ]
    plans = [
        (f"`{scan.statement}`, {scan.situation}", *(_plan(each) for each in scan.plans))
        for scan in report.scans
    ]
    process = [
        _memory("resident memory, idle, MiB", empty.rss_idle_bytes, full.rss_idle_bytes),
        _memory(
            "resident memory after the wakes, MiB", empty.rss_after_bytes, full.rss_after_bytes
        ),
        (
            "due instances completed per second",
            spread(empty.per_second, 0),
            spread(full.per_second, 0),
            spread(ratios(full.per_second, empty.per_second), 2),
        ),
    ]
    return "\n".join(
        [
            report.machine,
            "",
            report.method,
            "",
            *table(("a look of the timekeeper, ms", *houses, "ratio"), looks),
            "",
            *table(("what one statement of it reads", *houses), plans),
            "",
            *table(("the service's process", *houses, "ratio"), process),
        ]
    )


def _memory(label: str, empty: int, full: int) -> Sequence[str]:
    cells = (f"{each / MEBIBYTE:.1f}" for each in (empty, full))
    return (label, *cells, f"{full / empty:.2f}")


def _plan(plan: Plan) -> str:
    scans = ", ".join(dict.fromkeys(plan.scans))
    return f"{plan.pages:,} pages: {scans}; {plan.in_vain:,} rows in vain"
