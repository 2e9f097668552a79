"""What is to be done next about a saga."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.billing.models import (
    AttemptState,
    CancelReason,
    Initiator,
    InvoiceState,
    SubscriptionStatus,
)
from services.billing.rules import dunning
from services.billing.rules.dunning import DunningSchedule
from services.billing.saga.state import (
    Attempt,
    Canceled,
    Done,
    Escalated,
    GiveBack,
    GivenUp,
    Happen,
    LookUp,
    Move,
    Opened,
    Saga,
    Send,
    Wait,
)

FIRST_PAYMENT = timedelta(hours=23)
"""How long an incomplete subscription has, as at Stripe."""

LOOK_UPS = (
    timedelta(minutes=5),
    timedelta(hours=1),
    *(timedelta(days=days) for days in range(1, 6)),
)
"""Of an attempt whose outcome is unknown, from the moment it is."""

SEND_AGAIN_AFTER = 2
"""Look-ups that must have found nothing, before an unknown attempt is sent again by its key."""

TO_OPERATOR = timedelta(days=7)
LATE_LOOK_UP = timedelta(days=7)
LATE_LOOK_UPS = 4
"""How often it is looked for after an operator was told."""
PENDING_LOOK_UP = timedelta(days=1)
SEND_BACKOFF = timedelta(minutes=5)
LONGEST_SEND_BACKOFF = timedelta(hours=12)


def next_move(saga: Saga, schedule: DunningSchedule, now: datetime) -> Move:
    """The one thing to do now. What it depends on but time comes with an event."""
    attempt = saga.attempt
    if attempt is not None and attempt.refund == "due":
        return GiveBack()
    reason = _cancel_reason(saga, schedule, now)
    if reason is not None:
        return Happen(event=Canceled(reason=reason))
    if attempt is not None and not attempt.state.finished:
        move = _follow(saga, attempt, now)
    elif saga.status is SubscriptionStatus.CANCELED:
        return Done()
    elif saga.invoice is InvoiceState.DRAFT:
        move = Wait(until=saga.period_start) if now < saga.period_start else Happen(event=Opened())
    elif saga.invoice is InvoiceState.OPEN:
        move = _collect(saga, schedule, now)
    else:
        return Done()
    if not isinstance(move, Wait):
        return move
    return Wait(until=_earliest(move.until, _deadline(saga, schedule, now)))


def _cancel_reason(saga: Saga, schedule: DunningSchedule, now: datetime) -> CancelReason | None:
    # What is asked for again after a chargeback was given already: it ends nothing.
    if saga.status is SubscriptionStatus.CANCELED or saga.extended:
        return None
    if saga.cancel_at_period_end and now >= saga.period_start:
        return "period_end"
    if saga.status is SubscriptionStatus.INCOMPLETE:
        return "incomplete" if now >= saga.created_at + FIRST_PAYMENT else None
    stop = _stop_at(saga, schedule)
    if stop is not None and now >= stop:
        return "non_payment"
    return "non_payment" if _dunning_is_over(saga, schedule, now) else None


def _dunning_is_over(saga: Saga, schedule: DunningSchedule, now: datetime) -> bool:
    since = saga.past_due_since
    if since is None or now < dunning.cancel_at(schedule, since) or saga.requested_by is not None:
        return False
    if saga.attempt is not None and not saga.attempt.state.finished:
        return False
    return not saga.automatic or _next_retry(saga, schedule) is None


def _next_retry(saga: Saga, schedule: DunningSchedule) -> datetime | None:
    if saga.past_due_since is None:
        return None
    return dunning.next_retry(schedule, saga.past_due_since, saga.last_automatic_at)


def _stop_at(saga: Saga, schedule: DunningSchedule) -> datetime | None:
    """When the subscription ends whatever is still under way."""
    since = saga.past_due_since
    if since is None and saga.attempt is not None and not saga.attempt.state.finished:
        # A first attempt that is pending or unknown for weeks; one that was never sent has
        # `since` of nothing, and waits for its provider.
        since = saga.attempt.since
    return None if since is None else dunning.stop_at(schedule, since)


def _deadline(saga: Saga, schedule: DunningSchedule, now: datetime) -> datetime | None:
    """The next instant at which the subscription may have to end."""
    if saga.status is SubscriptionStatus.CANCELED or saga.extended:
        return None
    if saga.status is SubscriptionStatus.INCOMPLETE:
        return saga.created_at + FIRST_PAYMENT
    over = None
    if saga.past_due_since is not None:
        over = dunning.cancel_at(schedule, saga.past_due_since)
    return _earliest(over if over is not None and over > now else None, _stop_at(saga, schedule))


def _follow(saga: Saga, attempt: Attempt, now: datetime) -> Move:
    """What an attempt that is not finished needs."""
    match attempt.state:
        case AttemptState.SUBMITTED:
            # Its answer was never written down, or whoever asks would not be here.
            return LookUp()
        case AttemptState.NOT_SENT:
            return _send_again(saga, attempt, now)
        case AttemptState.PENDING:
            look_at = (attempt.since or attempt.sent_at) + PENDING_LOOK_UP * (attempt.looks + 1)
            return LookUp() if now >= look_at else Wait(until=look_at)
        case _:
            return _look_for(saga, attempt, now)


def _send_again(saga: Saga, attempt: Attempt, now: datetime) -> Move:
    if not saga.owed:
        return Happen(event=GivenUp())
    backoff = min(SEND_BACKOFF * 2 ** min(attempt.sends - 1, 10), LONGEST_SEND_BACKOFF)
    send_at = attempt.sent_at + backoff
    if now >= send_at or saga.requested_by is not None:
        return Send(number=attempt.number, initiator=attempt.initiator)
    return Wait(until=send_at)


def _look_for(saga: Saga, attempt: Attempt, now: datetime) -> Move:
    """An unknown attempt: looked for, sent again by its own key, at last handed to a person."""
    since = attempt.since or attempt.sent_at
    if attempt.not_found >= SEND_AGAIN_AFTER and saga.owed and not saga.needs_operator:
        return Send(number=attempt.number, initiator=attempt.initiator)
    if attempt.looks < len(LOOK_UPS):
        look_at = since + LOOK_UPS[attempt.looks]
        return LookUp() if now >= look_at else Wait(until=look_at)
    if not saga.owed and attempt.not_found >= SEND_AGAIN_AFTER:
        return Happen(event=GivenUp())
    if saga.needs_operator:
        return _look_on(attempt, since, now)
    if now >= since + TO_OPERATOR:
        return Happen(event=Escalated())
    return Wait(until=since + TO_OPERATOR)


def _look_on(attempt: Attempt, since: datetime, now: datetime) -> Move:
    """Weekly for a month: a provider that was away for the first week may know by now."""
    more = attempt.looks - len(LOOK_UPS)
    if more >= LATE_LOOK_UPS:
        return Wait(until=None)
    look_at = since + TO_OPERATOR + LATE_LOOK_UP * (more + 1)
    return LookUp() if now >= look_at else Wait(until=look_at)


def _collect(saga: Saga, schedule: DunningSchedule, now: datetime) -> Move:
    """An open invoice without an attempt in flight."""
    number = 1 if saga.attempt is None else saga.attempt.number + 1
    if saga.requested_by is not None:
        return Send(number=number, initiator=saga.requested_by)
    # After a chargeback, or what can only fail again, a person must ask for it.
    if saga.extended or not saga.automatic:
        return Wait(until=None)
    if saga.status is SubscriptionStatus.PAST_DUE:
        retry_at = _next_retry(saga, schedule)
        if retry_at is not None and now >= retry_at:
            return Send(number=number, initiator=Initiator.DUNNING)
        return Wait(until=retry_at)
    if saga.status is SubscriptionStatus.INCOMPLETE and saga.attempt is not None:
        return Wait(until=None)
    return Send(number=number, initiator=Initiator.CYCLE)


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((each for each in instants if each is not None), default=None)
