"""Every state that a renewal saga can reach, and what each event makes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.billing.models import (
    AttemptState,
    Initiator,
    InvoiceState,
    SubscriptionStatus,
)
from services.billing.rules.dunning import DunningSchedule
from services.billing.saga import after, next_move
from services.billing.saga.changes import as_sent
from services.billing.saga.moves import LATE_LOOK_UPS, LOOK_UPS, SEND_AGAIN_AFTER
from services.billing.saga.state import (
    Canceled,
    Change,
    Declined,
    Disputed,
    DisputeLost,
    DisputeWon,
    Escalated,
    ExtensionFailed,
    GivenUp,
    Happen,
    IllegalEvent,
    MethodChanged,
    Move,
    NotFound,
    NotSent,
    NotTold,
    Opened,
    PayNow,
    Pending,
    Refunded,
    RefundFailed,
    RefundRequested,
    Saga,
    SagaEvent,
    Send,
    Sent,
    Succeeded,
    Unknown,
    Wait,
)

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
SCHEDULE = DunningSchedule()

EVENTS: tuple[SagaEvent, ...] = (
    Opened(),
    Succeeded(),
    ExtensionFailed(),
    Declined(kind="soft"),
    Declined(kind="hard"),
    Pending(),
    Pending(needs_customer=True),
    Unknown(),
    NotSent(),
    NotFound(),
    NotTold(),
    Escalated(),
    GivenUp(),
    MethodChanged(),
    PayNow(by=Initiator.CUSTOMER),
    PayNow(by=Initiator.ADMIN),
    Canceled(reason="requested"),
    Disputed(),
    DisputeWon(),
    DisputeLost(),
    RefundRequested(),
    Refunded(),
    RefundFailed(),
)
"""All but the sending of an attempt."""

OWN = (Opened, Sent, Escalated, GivenUp)
"""What the saga alone decides: of others it is seen whether it were legal, and not followed."""


class Place(NamedTuple):
    """A saga at an instant."""

    saga: Saga
    now: datetime

    @property
    def move(self) -> Move:
        """What is to be done here."""
        return next_move(self.saga, SCHEDULE, self.now)

    @property
    def name(self) -> str:
        """Which state of the printed table it belongs to."""
        saga = self.saga
        attempt = "none" if saga.attempt is None else saga.attempt.state.value
        flags = [
            *(["disputed"] if saga.disputed else []),
            *(["manual"] if not saga.automatic else []),
            *(["asked"] if saga.requested_by is not None else []),
            *(["operator"] if saga.needs_operator else []),
            *(["ending"] if saga.cancel_at_period_end else []),
        ]
        refund = saga.attempt.refund if saga.attempt is not None and saga.attempt.refund else ""
        words = [saga.status.value, saga.invoice.value, attempt, refund, *flags]
        return " ".join(filter(None, words))

    def signature(self) -> tuple[object, ...]:
        """What is looked at once: a state, what is done there, and how far its ladders are."""
        saga, attempt = self.saga, self.saga.attempt
        last, since = saga.last_automatic_at, saga.past_due_since
        retries_left = since and sum(
            1 for day in SCHEDULE.retry_days if not last or since + timedelta(days=day) > last
        )
        unknown = attempt is not None and attempt.state is AttemptState.UNKNOWN
        looks = (
            attempt is not None
            and unknown
            and (
                min(attempt.looks, len(LOOK_UPS) + LATE_LOOK_UPS),
                min(attempt.not_found, SEND_AGAIN_AFTER),
                attempt.looks == attempt.not_found,
            )
        )
        return self.name, type(self.move), saga.extended, retries_left, looks


class Passage(NamedTuple):
    """An event at a place, and what it made of it; None where it is illegal."""

    place: Place
    event: SagaEvent
    change: Change | None
    obeys: bool
    """Whether the saga itself asked for it."""

    @property
    def onward(self) -> Place | None:
        """The place behind it; None where it is illegal, or the saga alone would decide it."""
        if self.change is None or (isinstance(self.event, OWN) and not self.obeys):
            return None
        return Place(self.change.saga, self.place.now)


def beginnings() -> Iterator[Place]:
    """How a saga can begin."""
    for status in (
        SubscriptionStatus.TRIALING,
        SubscriptionStatus.INCOMPLETE,
        SubscriptionStatus.ACTIVE,
    ):
        for ending in (False, True):
            yield Place(
                Saga(
                    status=status,
                    created_at=START,
                    cancel_at_period_end=ending,
                    invoice=InvoiceState.DRAFT,
                    period_start=START,
                ),
                START,
            )


def walk() -> Iterator[Passage]:
    """Each place that can be reached, met by each event; time goes on where the saga waits."""
    ahead = deque(beginnings())
    seen = {place.signature() for place in ahead}
    while ahead:
        place = ahead.popleft()
        met = list(passages(place))
        yield from met
        reached = [each.onward for each in met if each.onward is not None]
        if (later := waited(place)) is not None:
            reached.append(later)
        for each in reached:
            signature = each.signature()
            if signature not in seen:
                seen.add(signature)
                ahead.append(each)


def passages(place: Place) -> Iterator[Passage]:
    """Every event at a place."""
    asked = _asked(place.move)
    for event in _events(place, asked):
        yield Passage(place, event, _change(place, event), event == asked)


def waited(place: Place) -> Place | None:
    """The same saga when it has something to do again, where it waits for that."""
    move = place.move
    if isinstance(move, Wait) and move.until is not None:
        return Place(place.saga, move.until)
    return None


def _asked(move: Move) -> SagaEvent | None:
    if isinstance(move, Send):
        return as_sent(move)
    return move.event if isinstance(move, Happen) else None


def _events(place: Place, asked: SagaEvent | None) -> Iterator[SagaEvent]:
    yield from EVENTS
    last = 0 if place.saga.attempt is None else place.saga.attempt.number
    sent = [Sent(number=number, initiator=Initiator.DUNNING) for number in (last, last + 1)]
    yield from (each for each in sent if each != asked)
    if asked is not None and asked not in EVENTS:
        yield asked


def _change(place: Place, event: SagaEvent) -> Change | None:
    try:
        return after(place.saga, event, place.now)
    except IllegalEvent:
        return None
