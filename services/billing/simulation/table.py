"""The comparison as rows of text: a measure a row, a schedule a column."""

from __future__ import annotations

from collections.abc import Callable

from services.billing.models import Money
from services.billing.rules.money import format_money
from services.billing.simulation.report import Comparison, ScheduleReport

Cell = Callable[[ScheduleReport], str]


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Each measure's name, and what it is under each schedule."""
    currency = comparison.price.currency

    def money(minor: int) -> str:
        return format_money(Money(amount_minor=minor, currency=currency)).split()[1]

    measures: dict[str, Cell] = {
        "retries on day": lambda each: _days(each.retry_days),
        "canceled on day": lambda each: str(each.cancel_days),
        "subscriptions started": lambda each: str(each.started),
        "renewals due": lambda each: str(each.renewals_due),
        f"revenue due, {currency}": lambda each: money(each.due_minor),
        f"paid on time, {currency}": lambda each: money(each.on_time_minor),
        f"recovered, {currency}": lambda each: money(each.recovered_minor),
        f"lost, {currency}": lambda each: money(each.lost_minor),
        f"still open, {currency}": lambda each: money(each.open_minor),
        f"collected in all, {currency}": lambda each: money(each.collected_minor),
        "renewals declined": lambda each: str(each.declined),
        "recovery rate": lambda each: figure(each.recovery_percent, " %"),
        "involuntary churn": lambda each: _churn(each.involuntary_churn, each),
        "voluntary churn": lambda each: _churn(each.voluntary_churn, each),
        "attempts": lambda each: str(each.attempts),
        "retries per recovered payment": lambda each: figure(each.retries_per_recovered),
        "days to recover, p50": lambda each: figure(each.days_to_recover_p50),
        "days to recover, p90": lambda each: figure(each.days_to_recover_p90),
    }
    return [
        (name, *(cell(each) for each in comparison.schedules)) for name, cell in measures.items()
    ]


def figure(number: float | None, unit: str = "") -> str:
    """A figure with one decimal; a dash where there is nothing to measure."""
    return "-" if number is None else f"{number:.1f}{unit}"


def _days(days: tuple[int, ...]) -> str:
    return ",".join(str(day) for day in days) or "none"


def _churn(count: int, report: ScheduleReport) -> str:
    return f"{count} ({100 * count / report.started:.1f} %)"
