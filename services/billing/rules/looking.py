"""When a customer's run has something to do about a subscription next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from services.billing.models import SubscriptionStatus
from services.billing.rules.past_due import next_notice_at
from services.billing.rules.reminders import REMINDED, REMINDER_LEAD
from services.billing.rules.usage import WATCHED


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a subscription decides when it is looked at."""

    status: SubscriptionStatus
    period_end: datetime
    """When it is billed next: of a trial its end, of an incomplete one its creation."""
    cancel_at_period_end: bool = False
    past_due_since: datetime | None = None
    invoice_open: bool = False
    """Its renewal is under way, and needs no customer's run."""
    reminded: bool = False
    """The reminder of this period end, or its ending notice, was told."""
    told_days: tuple[int, ...] = ()
    """Days of the past-due notices that were told of the open invoice."""
    usage_day: date | None = None
    """The first day with use that is not closed."""


def next_look_at(facts: Facts, now: datetime) -> datetime | None:
    """The earliest instant with something to do, in the past where that is due; None: never."""
    return min(_instants(facts, now), default=None)


def _instants(facts: Facts, now: datetime) -> Iterator[datetime]:
    if facts.status is SubscriptionStatus.CANCELED:
        return
    # Canceling at the end comes before billing, and needs no renewal to have ended.
    if facts.cancel_at_period_end or not facts.invoice_open:
        yield facts.period_end
    if facts.status in REMINDED and not facts.reminded and now < facts.period_end:
        yield facts.period_end - REMINDER_LEAD
    if facts.status is SubscriptionStatus.PAST_DUE and facts.past_due_since is not None:
        notice_at = next_notice_at(facts.past_due_since, now, facts.told_days)
        if notice_at is not None:
            yield notice_at
    if facts.status in WATCHED and facts.usage_day is not None:
        # Days of use are those of UTC.
        yield datetime.combine(facts.usage_day + timedelta(days=1), time(), UTC)
