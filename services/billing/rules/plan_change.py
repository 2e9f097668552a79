"""From where periods are counted after a change of plan."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.billing.models import Interval, Terms
from services.billing.rules.periods import first_anchor


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The first anchor on the customer's clocks, and how many intervals after it the current
    period ends."""

    local: datetime
    periods: int


def anchor_after(terms: Terms, interval: Interval, open_until: datetime | None) -> Anchor:
    """The anchor under a plan of this interval; `open_until` is the end of the period that an open
    invoice is about, which keeps its length.

    With the same interval nothing moves. With another one the first period under it begins where
    the last one under the old one ends.
    """
    if interval == terms.interval:
        return Anchor(local=terms.anchor_local, periods=terms.periods)
    if open_until is None:
        return Anchor(local=first_anchor(terms.current_period_end, terms.timezone), periods=0)
    # The payment of the open invoice counts its period, and so arrives at the anchor itself.
    return Anchor(local=first_anchor(open_until, terms.timezone), periods=-1)
