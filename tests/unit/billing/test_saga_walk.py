"""The renewal saga, walked: what holds in every state that it can reach, whatever happens there."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from services.billing.bookkeeping import STATUS_EVENTS
from services.billing.models import AttemptState, InvoiceState, SubscriptionStatus
from services.billing.rules.subscriptions import TRANSITIONS
from services.billing.saga import after
from services.billing.saga.changes import as_sent
from services.billing.saga.moves import SEND_AGAIN_AFTER
from services.billing.saga.state import (
    IN_FLIGHT,
    Canceled,
    Change,
    Declined,
    Done,
    Effect,
    GiveBack,
    Happen,
    LookUp,
    NotFound,
    Refunded,
    Saga,
    SagaEvent,
    Send,
    Sent,
    Succeeded,
    Unknown,
    Wait,
)
from tests.markdown import read
from tests.saga_table import markdown
from tests.saga_walk import Place, walk

PASSAGES = list(walk())
LEGAL = [(each, each.change) for each in PASSAGES if each.change is not None]
PLACES = list({each.place.signature(): each.place for each in PASSAGES}.values())


def test_the_table_of_the_docs_is_the_machine() -> None:
    assert read("docs/saga.md") == markdown(), "run: python -m tests.saga_table > docs/saga.md"


def test_what_the_saga_asks_for_is_legal_and_changes_it() -> None:
    asked = [each for each in PASSAGES if each.obeys]
    assert asked
    stuck = [each for each in asked if each.change is None or each.change.saga == each.place.saga]
    assert stuck == []


def test_nothing_leaves_canceled_and_each_change_of_status_is_a_legal_transition() -> None:
    changes = {
        (passage.place.saga.status, change.saga.status)
        for passage, change in LEGAL
        if passage.place.saga.status is not change.saga.status
    }
    assert SubscriptionStatus.CANCELED not in {before for before, _ in changes}
    legal = {(before, STATUS_EVENTS[later]): later for before, later in changes}
    assert legal == dict(TRANSITIONS)


def test_a_finished_attempt_never_goes_back() -> None:
    for passage, change in LEGAL:
        before, now = passage.place.saga.attempt, change.saga.attempt
        if before is None or not before.state.finished or now is None:
            continue
        if now.number == before.number and now.state is not before.state:
            # Given up, and the money came after all: it goes back.
            assert before.state is AttemptState.VOID, passage
            assert (now.state, now.refund) == (AttemptState.SUCCEEDED, "due"), passage


def test_nothing_is_sent_while_money_may_be_on_its_way() -> None:
    sent = [
        (each.place.saga, change.saga) for each, change in LEGAL if isinstance(each.event, Sent)
    ]
    for before, now in sent:
        last = before.attempt
        assert before.owed
        assert now.attempt is not None
        if last is None:
            assert now.attempt.number == 1
        elif last.state in IN_FLIGHT:
            # By its own key alone, which can take the money but once.
            assert last.state is AttemptState.UNKNOWN
            assert last.not_found >= SEND_AGAIN_AFTER
            assert (now.attempt.number, now.attempt.state) == (last.number, last.state)
        else:
            again = last.state is AttemptState.NOT_SENT
            assert now.attempt.number == last.number + (not again)


def test_a_period_is_given_once_and_by_its_money() -> None:
    for passage, change in LEGAL:
        before, now = passage.place.saga, change.saga
        assert now.extended >= before.extended, passage
        assert (Effect.EXTEND in change.effects) == (now.extended and not before.extended), passage
        if Effect.EXTEND in change.effects:
            assert Effect.BOOK_PAID in change.effects, passage


def test_only_a_declined_automatic_attempt_is_a_failure() -> None:
    for passage, change in LEGAL:
        more = change.saga.failures - passage.place.saga.failures
        attempt = passage.place.saga.attempt
        if more:
            assert more == 1, passage
            assert isinstance(passage.event, Declined), passage
            assert attempt is not None, passage
            assert attempt.initiator.automatic, passage


def test_money_that_came_pays_the_invoice_or_goes_back() -> None:
    booked = {Effect.BOOK_PAID, Effect.BOOK_SURPLUS}
    for passage, change in LEGAL:
        came = _has_succeeded(change.saga) and not _has_succeeded(passage.place.saga)
        if passage.place.saga.attempt is not None and came:
            [effect] = booked & set(change.effects)
            assert change.saga.attempt is not None
            surplus = change.saga.attempt.refund == "due"
            assert (effect is Effect.BOOK_SURPLUS) == surplus, passage
        else:
            assert not booked & set(change.effects), passage


def test_money_that_is_due_back_is_given_back_before_anything_else() -> None:
    due = [place for place in PLACES if _refund(place.saga) == "due"]
    assert due
    assert {type(place.move) for place in due} == {GiveBack}
    for passage, change in LEGAL:
        if _refund(passage.place.saga) is not None:
            same = _number(change.saga) == _number(passage.place.saga)
            assert not same or _refund(change.saga) is not None, passage


def test_only_who_is_owed_money_is_asked_for_it() -> None:
    asked = [place for place in PLACES if place.saga.requested_by is not None]
    assert asked
    assert all(place.saga.owed for place in asked)


def test_who_waits_for_no_instant_waits_for_a_person() -> None:
    waiting = [place for place in PLACES if place.move == Wait(until=None)]
    assert waiting
    for place in waiting:
        saga = place.saga
        assert saga.needs_operator or saga.disputed or not saga.automatic, place


def test_waiting_never_ends_in_the_past() -> None:
    for place in PLACES:
        if isinstance(place.move, Wait) and place.move.until is not None:
            assert place.move.until > place.now, place


@pytest.mark.parametrize(
    "answer",
    [Succeeded(), Declined(kind="soft"), Declined(kind="hard"), NotFound()],
    ids=["succeeded", "declined soft", "declined hard", "never found"],
)
def test_with_a_provider_that_answers_each_state_comes_to_its_end(answer: SagaEvent) -> None:
    for beginning in PLACES:
        if isinstance(answer, NotFound) and _is_pending(beginning.saga):
            # What a provider told of once, it finds.
            continue
        place, path = beginning, Counter[str]()
        while not isinstance(place.move, Done) and place.move != Wait(until=None):
            path[type(place.move).__name__] += 1
            assert path.total() < 80, (beginning, path)
            place = _obeyed(place, answer)
        # An incomplete one's hours, a schedule's days, the look-ups for what was sent on its last.
        assert place.now - beginning.now <= timedelta(days=37 + 36), (beginning, place)


@pytest.mark.parametrize(
    ("effect", "owed_before", "owed_after"),
    [
        (Effect.BOOK_OPENED, False, True),
        (Effect.BOOK_PAID, True, False),
        (Effect.BOOK_WRITE_OFF, True, False),
        (Effect.BOOK_DISPUTE, False, True),
        (Effect.BOOK_DISPUTE_WON, True, False),
    ],
)
def test_the_invoice_is_open_while_it_is_receivable(
    effect: Effect, owed_before: bool, owed_after: bool
) -> None:
    booked = [(each, change) for each, change in LEGAL if effect in change.effects]
    assert booked
    for passage, change in booked:
        assert (passage.place.saga.invoice is InvoiceState.OPEN) == owed_before, passage
        assert (change.saga.invoice is InvoiceState.OPEN) == owed_after, passage


def test_an_invoice_opens_and_closes_with_its_entries() -> None:
    receivable = {
        Effect.BOOK_OPENED,
        Effect.BOOK_PAID,
        Effect.BOOK_WRITE_OFF,
        Effect.BOOK_DISPUTE,
        Effect.BOOK_DISPUTE_WON,
    }
    for passage, change in LEGAL:
        before = passage.place.saga.invoice is InvoiceState.OPEN
        now = change.saga.invoice is InvoiceState.OPEN
        assert (before is not now) == bool(receivable & set(change.effects)), passage


def test_a_second_cancellation_tells_nothing() -> None:
    for passage, change in LEGAL:
        if isinstance(passage.event, Canceled):
            before = passage.place.saga.status is SubscriptionStatus.CANCELED
            assert before == (change == Change(saga=passage.place.saga)), passage
            ends = (Effect.TELL_CANCELED, Effect.SCHEDULE_CLEANUP)
            assert sum(effect in ends for effect in change.effects) == 2 * (not before)


def _obeyed(place: Place, answer: SagaEvent) -> Place:
    """The place behind one move of the workflow, whose provider answers so."""
    saga, now, move = place.saga, place.now, place.move
    match move:
        case Send():
            sent = after(saga, as_sent(move), now).saga
            told = Unknown() if isinstance(answer, NotFound) else answer
            return Place(after(sent, told, now).saga, now)
        case LookUp():
            return Place(after(saga, answer, now).saga, now)
        case GiveBack():
            return Place(after(saga, Refunded(), now).saga, now)
        case Happen(event=event):
            return Place(after(saga, event, now).saga, now)
        case Wait(until=until) if until is not None:
            return Place(saga, until)
        case _:
            raise AssertionError(move)


def _is_pending(saga: Saga) -> bool:
    return saga.attempt is not None and saga.attempt.state is AttemptState.PENDING


def _has_succeeded(saga: Saga) -> bool:
    return saga.attempt is not None and saga.attempt.state is AttemptState.SUCCEEDED


def _refund(saga: Saga) -> str | None:
    return None if saga.attempt is None else saga.attempt.refund


def _number(saga: Saga) -> int:
    return 0 if saga.attempt is None else saga.attempt.number
