"""Random lives of a renewal saga: whatever happens, its ledger says where the money is."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.billing.bookkeeping import booking, booking_key
from services.billing.models import AttemptState, Initiator, InvoiceState, Money
from services.billing.rules.ledger import BAD_DEBT, RECEIVABLE, REFUNDS, REVENUE, SURPLUS, cash
from services.billing.saga import after
from services.billing.saga.state import (
    Attempt,
    Canceled,
    Change,
    Disputed,
    DisputeLost,
    DisputeWon,
    Effect,
    Opened,
    SagaEvent,
    Sent,
    Succeeded,
)
from services.billing.transitions import INVOICES
from tests.saga_walk import Place, beginnings, passages, waited

PRICE = Money(amount_minor=999, currency="EUR")
CASH = cash("sandbox")


class Life:
    """A saga with its ledger, and with what a bank would know of its attempts."""

    def __init__(self, place: Place):
        self.place = place
        self.ledger = Counter[str]()
        self.keys: list[str] = []
        self.attempts: dict[int, Attempt] = {}
        self.reopened = 0
        self.taken_back = 0

    def live(self, choice: int) -> None:
        """Has one of all that can happen now happen, or time go by; seldom that it is canceled,
        behind which little is left."""
        ways = [
            passage.event
            for passage in passages(self.place)
            if passage.onward is not None
            and passage.onward != self.place
            and (passage.obeys or choice % 16 == 0 or not isinstance(passage.event, Canceled))
        ]
        later = waited(self.place)
        number = choice % (len(ways) + 1)
        if number == len(ways):
            self.place = later or self.place
            return
        self.meet(ways[number])

    def meet(self, event: SagaEvent) -> None:
        """Has the event happen."""
        change = after(self.place.saga, event, self.place.now)
        self.reopened += isinstance(event, Disputed)
        self.write(change)
        self.place = Place(change.saga, self.place.now)

    def write(self, change: Change) -> None:
        """Books the effects, as the bookkeeper does."""
        attempt = change.saga.attempt
        if attempt is not None:
            self.attempts[attempt.number] = attempt
        number = 0 if attempt is None else attempt.number
        for effect in change.effects:
            self.taken_back += effect is Effect.BOOK_DISPUTE
            self.taken_back -= effect is Effect.BOOK_DISPUTE_WON
            if effect.startswith("book_"):
                self.keys.append(booking_key(INVOICES, effect, number, self.reopened))
                for account, amount_minor, _ in booking(effect, PRICE, "sandbox"):
                    self.ledger[account] += amount_minor

    def check(self) -> None:
        """Each account is what the saga and its attempts say."""
        saga, price = self.place.saga, PRICE.amount_minor
        came = [each for each in self.attempts.values() if each.state is AttemptState.SUCCEEDED]
        given_back = [each for each in came if each.refund == "refunded"]
        surplus = [
            each
            for each in came
            if each.refund in {"due", "failed"} and each.refund_reason == "surplus"
        ]
        requested = [each for each in given_back if each.refund_reason == "requested"]
        billed = saga.invoice not in {InvoiceState.DRAFT, InvoiceState.VOID}
        assert len(self.keys) == len(set(self.keys))
        assert self.ledger.total() == 0
        assert self.ledger[CASH] == price * (len(came) - len(given_back) - self.taken_back)
        assert self.ledger[SURPLUS] == -price * len(surplus)
        assert self.ledger[REFUNDS] == price * len(requested)
        assert self.ledger[REVENUE] == -price * billed
        assert self.ledger[RECEIVABLE] == price * (saga.invoice is InvoiceState.OPEN)
        assert self.ledger[BAD_DEBT] == price * (saga.invoice is InvoiceState.UNCOLLECTIBLE)


def test_a_payment_that_is_taken_back_twice_and_paid_anew_is_booked_each_time() -> None:
    life = Life(next(place for place in beginnings() if not place.saga.cancel_at_period_end))
    first, second = (Sent(number=number, initiator=Initiator.ADMIN) for number in (1, 2))
    events: list[SagaEvent] = [Opened(), first, Succeeded(), Disputed(), DisputeWon(), Disputed()]
    events += [second, Succeeded(), Disputed(), DisputeLost()]
    for event in events:
        life.meet(event)
        life.check()
    assert len(life.keys) == 8


@given(
    beginning=st.sampled_from(list(beginnings())),
    choices=st.lists(st.integers(min_value=0, max_value=10_000), min_size=40, max_size=80),
)
def test_each_account_is_what_the_saga_and_its_attempts_say(
    beginning: Place, choices: list[int]
) -> None:
    life = Life(beginning)
    for choice in choices:
        life.live(choice)
        life.check()
