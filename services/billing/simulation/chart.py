"""Draws a comparison: recovered revenue day by day, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from services.billing.models import Money
from services.billing.rules.money import exponent, format_money
from services.billing.simulation.report import Comparison, ScheduleReport
from services.billing.simulation.svg import Page
from services.billing.simulation.table import figure

WIDTH = 860
MARGIN = 28
LEFT, RIGHT = 84, 690
"""Of the days: the lines' names come after them."""
TOP, BOTTOM = 112, 372
PANELS_TOP = 446
PANEL_GAP = 32
ROW = 36
LABEL_GAP = 34
"""Between two names of lines, each of which has two rows."""

Measure = Callable[[ScheduleReport], float | None]


def draw(comparison: Comparison) -> str:
    """The SVG's text: the same for the same comparison."""
    height = PANELS_TOP + 24 + ROW * len(comparison.schedules) + 16
    title = "Recovered revenue, by days since the first decline"
    page = Page(WIDTH, height, title, _described(comparison))
    page.text(MARGIN, 40, title, "title")
    page.text(MARGIN, 62, _described(comparison), "quiet")
    _draw_days(page, comparison)
    width = (WIDTH - 2 * MARGIN - 2 * PANEL_GAP) / 3
    panels: list[tuple[str, Measure, str]] = [
        ("Declined renewals recovered", lambda each: each.recovery_percent, " %"),
        ("Subscriptions canceled unpaid", lambda each: each.involuntary_churn, ""),
        ("Retries per recovered payment", lambda each: each.retries_per_recovered, ""),
    ]
    for number, (head, measure, unit) in enumerate(panels):
        left = MARGIN + number * (width + PANEL_GAP)
        _draw_panel(page, comparison, left=left, width=width, head=head, measure=measure, unit=unit)
    return page.written()


def _described(comparison: Comparison) -> str:
    return (
        f"customers {comparison.customers:,} · months {comparison.months} · "
        f"{format_money(comparison.price)} a month · seed {comparison.seed}"
    )


def _draw_days(page: Page, comparison: Comparison) -> None:
    reports = comparison.schedules
    # One more, so that a step on the last day is seen.
    last_day = 1 + max(_last_day(each) for each in reports)
    ticks = _ticks(max(each.recovered_minor for each in reports))
    top = max(ticks[-1], 1)

    def x(day: float) -> float:
        return LEFT + (RIGHT - LEFT) * day / last_day

    def y(minor: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * minor / top

    currency = comparison.price.currency
    page.text(MARGIN, TOP - 18, currency, "quiet small")
    for tick in ticks:
        page.line("axis" if tick == 0 else "grid", (LEFT, y(tick)), (RIGHT, y(tick)))
        page.text(LEFT - 10, y(tick) + 4, _amount(tick, currency), "quiet small", anchor="end")
    step = next(each for each in (1, 2, 7, 14, 30, 60, 90, 180, 365) if last_day / each <= 10)
    for day in range(0, last_day + 1, step):
        page.text(x(day), BOTTOM + 20, str(day), "quiet small", anchor="middle")
    page.text((LEFT + RIGHT) / 2, BOTTOM + 40, "days", "quiet small", anchor="middle")

    labels = _spread([y(each.recovered_minor) for each in reports])
    for number, (report, label_y) in enumerate(zip(reports, labels, strict=True)):
        points = [(x(day), y(minor)) for day, minor in _steps(report)]
        page.line(f"line line{number}", *points)
        end_y = y(report.recovered_minor)
        page.line(f"line over line{number}", points[-1], (RIGHT, end_y))
        page.line(f"leader line{number}", (RIGHT, end_y), (RIGHT + 12, label_y))
        page.text(RIGHT + 18, label_y - 1, report.name, f"strong fill{number}")
        amount = format_money(Money(amount_minor=report.recovered_minor, currency=currency))
        page.text(RIGHT + 18, label_y + 14, amount, "quiet small")


def _draw_panel(
    page: Page,
    comparison: Comparison,
    *,
    left: float,
    width: float,
    head: str,
    measure: Measure,
    unit: str,
) -> None:
    page.text(left, PANELS_TOP, head, "head")
    measured = [measure(each) for each in comparison.schedules]
    most = max((each for each in measured if each is not None), default=0) or 1
    room = width - 60
    for number, (report, value) in enumerate(zip(comparison.schedules, measured, strict=True)):
        top = PANELS_TOP + 14 + number * ROW
        page.text(left, top + 12, report.name, "quiet small")
        length = max(2.0, room * (value or 0) / most)
        page.bar(left, top + 18, length, 10, f"fill{number}")
        words = str(value) if isinstance(value, int) else figure(value, unit)
        page.text(left + length + 8, top + 27, words, "small strong")


def _last_day(report: ScheduleReport) -> int:
    """The last day on which there is something to see."""
    grows = [
        day
        for day, (before, after) in enumerate(pairwise(report.recovered_minor_by_day), 1)
        if after > before
    ]
    return max(report.cancel_days, *grows, 0)


def _steps(report: ScheduleReport) -> Iterator[tuple[int, int]]:
    """Corners of the line: what is recovered stays so from its day on."""
    before = 0
    yield 0, before
    for day, minor in enumerate(report.recovered_minor_by_day):
        if minor != before:
            yield day, before
            yield day, minor
        before = minor
    yield _last_day(report), before


def _ticks(most: int) -> list[int]:
    """Round amounts from 0 to `most` or above it."""
    step = 1
    factors = (2, 2.5, 2)
    number = 0
    while step * 5 < most:
        step = int(step * factors[number % 3])
        number += 1
    return list(range(0, most + step, step))


def _spread(wished: list[float]) -> list[float]:
    """Places as near to the wished ones as the labels' height lets them be, none below the last."""
    order = sorted(range(len(wished)), key=lambda each: (wished[each], each))
    placed = list(wished)
    for before, each in pairwise(order):
        placed[each] = max(placed[each], placed[before] + LABEL_GAP)
    too_low = max(0.0, placed[order[-1]] - (BOTTOM - 8))
    placed[order[-1]] -= too_low
    for each, below in pairwise(reversed(order)):
        placed[below] = min(placed[below], placed[each] - LABEL_GAP)
    return placed


def _amount(minor: int, currency: str) -> str:
    places = exponent(currency)
    return f"{minor / 10**places:,.{places if minor % 10**places else 0}f}"
