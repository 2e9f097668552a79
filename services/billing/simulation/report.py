"""What became of a fleet under a schedule, added up."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from math import ceil

import msgspec

from services.billing.models import CancelReason, Money
from services.billing.rules.dunning import DunningSchedule
from services.billing.simulation.assumptions import Mix
from services.billing.simulation.life import Life, Outcome

ONE_DAY = timedelta(days=1)


class NamedSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule to be compared."""

    name: str
    schedule: DunningSchedule


class ScheduleReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One schedule's figures. Amounts are of the comparison's currency, in minor units.

    What was due was paid on time, which is without a decline, recovered, lost or is still open.
    """

    name: str
    retry_days: tuple[int, ...]
    cancel_days: int
    stop_days: int
    started: int
    """Subscriptions that were active at the beginning."""
    renewals_due: int
    due_minor: int
    on_time_minor: int
    recovered_minor: int
    lost_minor: int
    open_minor: int
    declined: int
    """Renewals with a definitive failure."""
    recovered: int
    """Declined renewals that were paid in the end."""
    recovery_percent: float | None
    """Of the declined renewals; None where none was declined."""
    involuntary_churn: int
    """Subscriptions canceled for non-payment."""
    voluntary_churn: int
    attempts: int
    retries: int
    """Attempts after the first of a declined renewal."""
    retries_per_recovered: float | None
    days_to_recover_p50: float | None
    days_to_recover_p90: float | None
    recovered_minor_by_day: tuple[int, ...]
    """Recovered within so many days of the first failure, from day 0 to `stop_days`."""

    @property
    def collected_minor(self) -> int:
        """All that was paid."""
        return self.on_time_minor + self.recovered_minor


class Comparison(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Several schedules over one fleet."""

    customers: int
    months: int
    seed: int
    price: Money
    mix: Mix
    schedules: tuple[ScheduleReport, ...]


def add_up(named: NamedSchedule, lives: Iterable[Life], price: Money) -> ScheduleReport:
    """The figures of all these lives under the schedule; it keeps none of them in memory."""
    started = attempts = retries = declined = 0
    outcomes, canceled = Counter[Outcome](), Counter[CancelReason]()
    waited: list[timedelta] = []
    for life in lives:
        started += 1
        canceled.update([life.canceled] if life.canceled else [])
        for renewal in life.renewals:
            outcomes[renewal.outcome] += 1
            attempts += len(renewal.sent_at)
            if renewal.declined_at is not None:
                declined += 1
                retries += len(renewal.sent_at) - 1
            if renewal.recovered_after is not None:
                waited.append(renewal.recovered_after)
    waited.sort()
    schedule, amount = named.schedule, price.amount_minor
    return ScheduleReport(
        name=named.name,
        retry_days=schedule.retry_days,
        cancel_days=schedule.cancel_days,
        stop_days=schedule.stop_days,
        started=started,
        renewals_due=outcomes.total(),
        due_minor=amount * outcomes.total(),
        on_time_minor=amount * outcomes["on_time"],
        recovered_minor=amount * outcomes["recovered"],
        lost_minor=amount * outcomes["lost"],
        open_minor=amount * outcomes["open"],
        declined=declined,
        recovered=len(waited),
        recovery_percent=_ratio(100 * len(waited), declined),
        involuntary_churn=canceled["non_payment"],
        voluntary_churn=canceled["period_end"],
        attempts=attempts,
        retries=retries,
        retries_per_recovered=_ratio(retries, len(waited)),
        days_to_recover_p50=_percentile(waited, 50),
        days_to_recover_p90=_percentile(waited, 90),
        recovered_minor_by_day=tuple(
            amount * bisect_right(waited, day * ONE_DAY) for day in range(schedule.stop_days + 1)
        ),
    )


def _percentile(waited: Sequence[timedelta], percent: int) -> float | None:
    """Days within which at least so many percent were paid."""
    if not waited:
        return None
    return round(waited[ceil(len(waited) * percent / 100) - 1] / ONE_DAY, 1)


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 2) if whole else None
