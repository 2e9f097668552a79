"""docs/billing.md says what the code does."""

from __future__ import annotations

from datetime import timedelta

from services.billing.models import Money
from services.billing.notices import plan
from services.billing.renewals import CLEANUP_AFTER
from services.billing.rules import ledger
from services.billing.rules.dunning import DunningSchedule
from services.billing.rules.looking import LOOK_AGAIN
from services.billing.rules.past_due import NOTICES
from services.billing.saga import moves
from services.billing.store import INVARIANTS
from services.billing.workflows.billing_sweep import AGAIN_AFTER
from tests.integration.customer.firm import STEPS
from tests.markdown import read, table

PAGE = "docs/billing.md"


def test_the_days_of_dunning_are_those_of_the_schedule() -> None:
    schedule = DunningSchedule()
    rows = table(PAGE, "day", "automatic attempt", "notice")
    assert [int(day) for day, _, _ in rows] == [0, *schedule.retry_days, schedule.stop_days]
    assert {int(day): name for day, _, name in rows if name != "cancellation"} == NOTICES
    assert schedule.cancel_days == schedule.retry_days[-1]


def test_the_figures_are_those_of_the_code() -> None:
    assert moves.LOOK_UPS[:2] == (timedelta(minutes=5), timedelta(hours=1))
    assert len(moves.LOOK_UPS[2:]) == 5
    assert (2, timedelta(days=7)) == (moves.SEND_AGAIN_AFTER, moves.TO_OPERATOR)
    assert timedelta(hours=23) == moves.FIRST_PAYMENT
    assert (
        timedelta(minutes=5),
        timedelta(hours=12),
    ) == (moves.SEND_BACKOFF, moves.LONGEST_SEND_BACKOFF)
    assert timedelta(days=30) == CLEANUP_AFTER
    assert (timedelta(days=1), timedelta(hours=1)) == (LOOK_AGAIN, AGAIN_AFTER)


def test_the_steps_of_a_run_are_told_in_their_order() -> None:
    told = [row[0] for row in table(PAGE, "step", "what it does")]
    assert told == list(STEPS)


def test_every_notice_to_operators_is_told_with_what_to_do() -> None:
    told = {
        row[0].split("`")[0] for row in table(PAGE, "notice, cause", "what happened", "what to do")
    }
    assert told == plan().routes.keys() - {"*"}


def test_every_notice_to_customers_is_named() -> None:
    assert [name for name in plan().templates if f"`{name}`" not in read(PAGE)] == []


def test_every_invariant_is_told() -> None:
    assert [row[0] for row in table(PAGE, "invariant", "in words")] == list(INVARIANTS)


def test_the_accounts_of_each_movement_are_those_of_the_ledger() -> None:
    money = Money(amount_minor=1, currency="EUR")
    expected = [
        tuple(entry.account for entry in entries)
        for entries in (
            ledger.opened(money),
            ledger.paid(money, "<provider>"),
            ledger.written_off(money),
            ledger.refunded(money, "<provider>"),
            ledger.surplus_received(money, "<provider>"),
            ledger.surplus_refunded(money, "<provider>"),
            ledger.charged_back(money, "<provider>"),
            ledger.dispute_won(money, "<provider>"),
        )
    ]
    assert [row[1:] for row in table(PAGE, "what happens", "debit", "credit")] == expected


def test_the_example_sums_to_zero() -> None:
    rows = table(PAGE, "account", "opened", "paid", "chargeback", "lost", "balance")
    *accounts, (_, *sums) = rows
    columns = zip(*(row[1:] for row in accounts), strict=True)
    assert [sum(int(each or 0) for each in column) for column in columns] == [0] * len(sums)
    assert all(sum(int(each or 0) for each in row[1:-1]) == int(row[-1]) for row in accounts)
