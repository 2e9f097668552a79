"""Where billing periods end: on the anchor's day and time of day, on the customer's own clocks."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.billing.models import Interval

ONE_SECOND = timedelta(seconds=1)
MONTHS: dict[Interval, int] = {"month": 1, "year": 12}


def first_anchor(now: datetime, timezone: str) -> datetime:
    """What the customer's clock on the wall shows at `now`, without its zone.

    In an hour that comes twice it does not tell which one: the first is meant.
    """
    return now.astimezone(ZoneInfo(timezone)).replace(tzinfo=None, fold=0)


def period_end(anchor_local: datetime, periods: int, interval: Interval, timezone: str) -> datetime:
    """The end of the period number `periods` after the anchor, in UTC; 0 is the anchor itself.

    A day that the month has not is its last day. It is computed from the anchor each time, so that
    the 31st comes back after February. A time that the clocks skip is the first instant after the
    gap, and one that they repeat is the first of the two.
    """
    months = anchor_local.month - 1 + periods * MONTHS[interval]
    year, month = anchor_local.year + months // 12, months % 12 + 1
    day = min(anchor_local.day, monthrange(year, month)[1])
    return _instant(anchor_local.replace(year=year, month=month, day=day), ZoneInfo(timezone))


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    # By the offset before a change of clocks, and by the one after it.
    before = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    after = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if before <= after:
        return before
    # In a gap the change lies between the two, on a whole second.
    earliest = after.replace(microsecond=0)

    def shows_later(seconds: int) -> bool:
        wall = (earliest + seconds * ONE_SECOND).astimezone(zone)
        return wall.replace(tzinfo=None) > local

    gap_seconds = range((before - after) // ONE_SECOND + 1)
    return earliest + bisect_left(gap_seconds, True, key=shows_later) * ONE_SECOND
