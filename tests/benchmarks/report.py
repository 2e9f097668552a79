"""The figures as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median, quantiles

import msgspec

from tests.benchmarks.measure import Figures


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark with what it ran on. The first way is what the others are compared with."""

    machine: str
    method: str
    ways: list[Figures]


def markdown(report: Report) -> str:
    """The table with its circumstances, to be pasted into a document."""
    plain = report.ways[0]

    def line(label: str, cell: Callable[[Figures], str]) -> str:
        return _line(label, (cell(way) for way in report.ways))

    return "\n".join(
        [
            report.machine,
            "",
            report.method,
            "",
            _line("", (way.name for way in report.ways)),
            _line("---", ("---:" for _ in report.ways)),
            line("per second", lambda way: _spread(_rates(way), 0)),
            line(
                "share of the plain transaction's rate",
                lambda way: _spread(_ratios(_rates(way), _rates(plain)), 2),
            ),
            line(
                "CPU of the service's process, ms",
                lambda way: _spread([pace.cpu_ms for pace in way.paces], 2),
            ),
            line("round trips to PostgreSQL", lambda way: f"{way.cost.round_trips:.2f}"),
            line("messages to NATS", lambda way: f"{way.cost.messages_sent:.2f}"),
            line("messages from NATS", lambda way: f"{way.cost.messages_received:.2f}"),
            line(
                "latency at concurrency 1, median, ms", lambda way: f"{median(way.latency_ms):.2f}"
            ),
            line(
                "latency at concurrency 1, 95 %, ms",
                lambda way: f"{_percentile_95(way.latency_ms):.2f}",
            ),
            line(
                "times the plain transaction's latency",
                lambda way: f"{median(way.latency_ms) / median(plain.latency_ms):.1f}",
            ),
        ]
    )


def _line(label: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join((label, *cells))} |"


def _rates(way: Figures) -> list[float]:
    return [pace.per_second for pace in way.paces]


def _ratios(figures: Sequence[float], plain: Sequence[float]) -> list[float]:
    # Round by round: a machine that is slow for a while is slow for both.
    return [figure / base for figure, base in zip(figures, plain, strict=True)]


def _spread(figures: Sequence[float], digits: int) -> str:
    middle, low, high = (
        f"{figure:,.{digits}f}" for figure in (median(figures), min(figures), max(figures))
    )
    return f"{middle} ({low} to {high})"


def _percentile_95(figures: Sequence[float]) -> float:
    return quantiles(figures, n=20)[-1]
