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
    billing: bool = False
    """The renewal that collects what is due has begun, and needs no customer's run."""
    unsynced: bool = False
    """The provider could not be told of the customer's data."""
    reminded: bool = False
    """The reminder of this period end, or its ending notice, was told."""
    told_days: tuple[int, ...] = ()
    """Days of the past-due notices that were told of the open invoice."""
    usage_day: date | None = None
    """The first day with use that is not closed."""


BILLED = frozenset(
    {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.INCOMPLETE}
)
"""Statuses in which the end of the period is the beginning of a renewal."""

LOOK_AGAIN = timedelta(days=1)
"""How soon what somebody else is to bring about is looked after."""


def next_look_at(facts: Facts, now: datetime) -> datetime | None:
    """The earliest instant with something to do, in the past where that is due; None: never.

    After a run nothing is left due that the run can do: it would be started again and again.
    """
    return min(_instants(facts, now), default=None)


def _instants(facts: Facts, now: datetime) -> Iterator[datetime]:
    if facts.status is SubscriptionStatus.CANCELED:
        return
    # Canceling at the end comes before billing, and waits for no renewal.
    if facts.cancel_at_period_end or (facts.status in BILLED and not facts.billing):
        yield facts.period_end
    if facts.billing or facts.unsynced:
        yield now + LOOK_AGAIN
    if facts.status in REMINDED and not facts.reminded and now < facts.period_end:
        yield facts.period_end - REMINDER_LEAD
    owes = facts.status is SubscriptionStatus.PAST_DUE and facts.billing
    if owes and facts.past_due_since is not None:
        notice_at = next_notice_at(facts.past_due_since, now, facts.told_days)
        if notice_at is not None:
            yield notice_at
    if facts.status in WATCHED and facts.usage_day is not None:
        # Days of use are those of UTC.
        yield datetime.combine(facts.usage_day + timedelta(days=1), time(), UTC)
