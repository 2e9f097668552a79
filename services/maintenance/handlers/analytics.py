"""Takes the facts that count, and answers what they add up to."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import structlog
from msgspec.structs import replace

from services.maintenance.rules import rollups
from services.maintenance.rules.rollups import LATE_DAYS, METRICS, STEP, Metric, bucket_start
from services.maintenance.store.analytics import AnalyticsStore, Rolled, closed_until
from services.maintenance.store.persons import PersonStore
from shared.messages.billing import (
    ChargebackReceived,
    DisputeResolved,
    InvoicePaid,
    PaymentFailed,
    PaymentSucceeded,
    PlanChanged,
    RefundIssued,
    SubscriptionChanged,
    SubscriptionStarted,
)
from shared.messages.events import Event
from shared.messages.maintenance import (
    AnalyticsBucket,
    AnalyticsQuery,
    AnalyticsReport,
    AnalyticsSeries,
)
from shared.messages.player import (
    DailyRewardClaimed,
    LevelReached,
    PlayerLoggedIn,
    SessionCompleted,
)
from shared.messages.problems import Refused
from shared.runtime import metrics
from shared.runtime.handling import AnyEventHandler, AnyHandler, EventHandler, Handler, Heard, Work

log = structlog.get_logger()

MAX_BUCKETS = 1_000
NOBODY = UUID("3f0e9a54-7f0a-5a0e-8a43-2d1c6b7e9f10")
"""Root of the ids that stand for those of the erased."""


async def count(work: Work, heard: Heard[Event]) -> None:
    """Keeps the fact and marks the buckets that it changes; one that was kept changes none."""
    counted = rollups.counted(heard.event)
    if counted is None:
        return
    if heard.occurred_at < work.now - timedelta(days=LATE_DAYS):
        metrics.ANALYTICS_FACTS_TOO_LATE.inc()
        log.warning("fact_too_late", fact=heard.event.name, id=heard.id)
        return
    if await PersonStore(work.connection).is_erased_id(counted.person_id):
        # A fact that was on its way must not bring the id back.
        counted = replace(counted, person_id=uuid5(NOBODY, heard.id))
    store = AnalyticsStore(work.connection)
    if counted.invoice_id is not None:
        await store.lock_invoice(counted.invoice_id)
    if await store.keep(heard.id, heard.event.name, heard.occurred_at, counted):
        recovers = "dunning_recovery" in counted.amounts
        await store.mark(heard.id, counted.invoice_id if recovers else None)


async def analytics(work: Work, query: AnalyticsQuery) -> AnalyticsReport:
    """One metric over time."""
    metric, step = METRICS[query.metric], STEP[query.grain]
    starts = _starts(query)
    if query.currency is not None and not metric.by_currency:
        raise Refused(
            "invalid_message", f"{query.metric} is no amount: leave it out", field="currency"
        )
    store = AnalyticsStore(work.connection)
    before: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for rolled in await store.before(query.grain, metric.measures, starts[0]):
        before[_series_of(metric, rolled)][rolled.measure] += rolled.value
    within: dict[str, dict[datetime, dict[str, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    for start, rolled in await store.within(
        query.grain, metric.measures, starts[0], starts[-1] + step
    ):
        within[_series_of(metric, rolled)][start][rolled.measure] += rolled.value
    if metric.by_currency:
        names = [query.currency] if query.currency else sorted({*before, *within})
    else:
        names = [""]
    return AnalyticsReport(
        metric=query.metric,
        grain=query.grain,
        unit=metric.unit,
        closed_until=await closed_until(work.connection),
        series=tuple(
            AnalyticsSeries(
                currency=name or None,
                buckets=tuple(
                    AnalyticsBucket(start=start, value=value)
                    for start, value in rollups.series(metric, starts, before[name], within[name])
                ),
            )
            for name in names
        ),
    )


def _series_of(metric: Metric, rolled: Rolled) -> str:
    return rolled.currency if metric.by_currency else ""


def _starts(query: AnalyticsQuery) -> list[datetime]:
    """The buckets asked for. Raises Refused for none, and for too many."""
    if query.from_ >= query.to:
        raise Refused("invalid_message", "it must be later than `from`", field="to")
    step, first = STEP[query.grain], bucket_start(query.from_.astimezone(UTC), query.grain)
    buckets = -((first - query.to) // step)
    if buckets > MAX_BUCKETS:
        raise Refused(
            "invalid_message",
            f"these are {buckets} buckets of a {query.grain}; {MAX_BUCKETS} are allowed",
            field="to",
        )
    return [first + number * step for number in range(buckets)]


EVENTS: tuple[AnyEventHandler, ...] = (
    *(
        EventHandler("player", event, count)
        for event in (PlayerLoggedIn, SessionCompleted, DailyRewardClaimed, LevelReached)
    ),
    *(
        EventHandler("billing", event, count)
        for event in (
            PaymentSucceeded,
            RefundIssued,
            ChargebackReceived,
            DisputeResolved,
            PaymentFailed,
            InvoicePaid,
            SubscriptionStarted,
            SubscriptionChanged,
            PlanChanged,
        )
    ),
)
QUERIES: tuple[AnyHandler, ...] = (Handler("analytics", AnalyticsQuery, analytics),)
