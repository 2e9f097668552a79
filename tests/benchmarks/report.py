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

    def row(label: str, cell: Callable[[Figures], str]) -> Sequence[str]:
        return (label, *(cell(way) for way in report.ways))

    return "\n".join(
        [
            report.machine,
            "",
            report.method,
            "",
            *table(
                ("", *(way.name for way in report.ways)),
                [
                    row("per second", lambda way: spread(_rates(way), 0)),
                    row(
                        "share of the plain transaction's rate",
                        lambda way: spread(ratios(_rates(way), _rates(plain)), 2),
                    ),
                    row(
                        "CPU of the service's process, ms",
                        lambda way: spread([pace.cpu_ms for pace in way.paces], 2),
                    ),
                    row("round trips to PostgreSQL", lambda way: f"{way.cost.round_trips:.2f}"),
                    row("messages to NATS", lambda way: f"{way.cost.messages_sent:.2f}"),
                    row("messages from NATS", lambda way: f"{way.cost.messages_received:.2f}"),
                    row(
                        "latency at concurrency 1, median, ms",
                        lambda way: f"{median(way.latency_ms):.2f}",
                    ),
                    row(
                        "latency at concurrency 1, 95 %, ms",
                        lambda way: f"{_percentile_95(way.latency_ms):.2f}",
                    ),
                    row(
                        "times the plain transaction's latency",
                        lambda way: f"{median(way.latency_ms) / median(plain.latency_ms):.1f}",
                    ),
                ],
            ),
        ]
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown: labels on the left, figures on the right."""
    rule = ("---", *("---:" for _ in heads[1:]))
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def ratios(figures: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Round by round: a machine that is slow for a while is slow for both."""
    return [figure / base for figure, base in zip(figures, bases, strict=True)]


def spread(figures: Sequence[float], digits: int) -> str:
    """The median, the lowest and the highest."""
    middle, low, high = (
        f"{figure:,.{digits}f}" for figure in (median(figures), min(figures), max(figures))
    )
    return f"{middle} ({low} to {high})"


def _rates(way: Figures) -> list[float]:
    return [pace.per_second for pace in way.paces]


def _percentile_95(figures: Sequence[float]) -> float:
    return quantiles(figures, n=20)[-1]
