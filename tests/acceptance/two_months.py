"""Two months of customers, as someone from finance would tell them: who pays by what, what people
do on which day, and what has become of each at the end.

Day 0 is the day on which the trial ends and the first payment is due, 1 March; day 60 is 30 April.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

DAY_0 = datetime(2026, 3, 1, 8, 2, tzinfo=UTC)
"""Between two sweeps: a retry and the notice of its day never fall due in one instant, in which
nobody says what comes first."""
TRIAL = timedelta(days=7)
END = DAY_0 + timedelta(days=60, hours=12)
READINGS = (DAY_0 + timedelta(days=29), DAY_0 + timedelta(days=59))
"""When finance reads the notices, some of which are deleted soon after."""
PRICES_MINOR = {"basic": 1000, "pro": 2500}
"""In euros, a month."""

Deed = Literal[
    "cancel",
    "cancel_at_period_end",
    "uncancel",
    "new_card",
    "pay_now",
    "confirm",
    "change_to_pro",
    "dispute_lost",
]


class Act(NamedTuple):
    """What a person does, so long after day 0 has begun."""

    deed: Deed
    days: int
    hours: float = 8.0

    @property
    def at(self) -> datetime:
        """When."""
        return DAY_0 + timedelta(days=self.days, hours=self.hours)


class Account(NamedTuple):
    """What finance sees of a customer on the last day."""

    ends: str
    """How the subscription stands."""
    invoices: str
    """The state of each, the oldest first."""
    payments: str
    """Attempts by day, one invoice behind the other; `0-3`: sent on day 0, known on day 3."""
    told: str
    """Notices by day."""
    ledger: str
    """Balances in euros that are not zero; debits are above it. Cash is what the provider holds."""


class Story(NamedTuple):
    """One customer."""

    name: str
    payment_method: str
    account: Account
    acts: Sequence[Act] = ()


ACTIVE = "active until day 61"
TWICE = Account(
    ends=ACTIVE,
    invoices="paid; paid",
    payments="0 paid; 31 paid",
    told="-7 renewal_reminder, 24 renewal_reminder, 54 renewal_reminder",
    ledger="cash 20, revenue -20",
)
"""Who pays for both months."""

STORIES = (
    Story("pays", "pm_card_visa", TWICE),
    Story(
        "is declined once",
        "sandbox_declined_1_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 paid; 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 24 renewal_reminder, 54 renewal_reminder",
        ),
    ),
    Story(
        "is declined twice",
        "sandbox_declined_2_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 3 paid; 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, "
            "24 renewal_reminder, 54 renewal_reminder",
        ),
    ),
    Story(
        "is declined three times",
        "sandbox_declined_3_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 3 declined, 7 paid; 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "24 renewal_reminder, 54 renewal_reminder",
        ),
    ),
    Story(
        "is declined four times",
        "sandbox_declined_4_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 3 declined, 7 declined, 14 paid; 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "7 final_notice, 24 renewal_reminder, 54 renewal_reminder",
        ),
    ),
    Story(
        "is declined five times",
        "sandbox_declined_5_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 3 declined, 7 declined, 14 declined, 30 paid; "
            "31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "7 final_notice, 14 final_notice, 30 renewal_reminder, 54 renewal_reminder",
        ),
    ),
    Story(
        "is declined six times",
        "sandbox_declined_6_then_succeeds",
        Account(
            ends="canceled on day 30 (non_payment), forgotten on day 60",
            invoices="uncollectible",
            payments="0 declined, 1 declined, 3 declined, 7 declined, 14 declined, 30 declined",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "7 final_notice, 14 final_notice, 30 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
    ),
    Story(
        "has a stolen card",
        "pm_card_chargeDeclinedStolenCard",
        Account(
            ends="canceled on day 30 (non_payment), forgotten on day 60",
            invoices="uncollectible",
            payments="0 declined",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "7 final_notice, 14 final_notice, 30 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
    ),
    Story(
        "has a stolen card, and a new one on day 5",
        "pm_card_chargeDeclinedStolenCard",
        TWICE._replace(
            payments="0 declined, 5 paid (customer); 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "24 renewal_reminder, 54 renewal_reminder",
        ),
        (Act("new_card", 5),),
    ),
    Story("is charged, but the answer is lost", "sandbox_timeout_after_charging", TWICE),
    Story(
        "is not charged, and the answer is lost",
        "sandbox_timeout_before_charging",
        TWICE._replace(payments="0 paid (sent 2 times); 31 paid (sent 2 times)"),
    ),
    Story(
        "pays after three days of waiting",
        "sandbox_pending_3_days_then_succeeds",
        TWICE._replace(payments="0-3 paid; 31-34 paid"),
    ),
    Story(
        "is declined after three days of waiting",
        "sandbox_pending_3_days_then_declines",
        Account(
            ends="canceled on day 36 (non_payment)",
            invoices="uncollectible",
            payments="0-3 declined, 4-7 declined, 7-10 declined, 10-13 declined, 17-20 declined, "
            "33-36 declined",
            told="-7 renewal_reminder, 3 payment_failed, 4 payment_reminder, 6 payment_reminder, "
            "10 final_notice, 17 final_notice, 36 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
    ),
    Story("is told of by webhook before the answer", "sandbox_webhook_first", TWICE),
    Story("is told of twice, the last thing first", "sandbox_webhook_twice_reordered", TWICE),
    Story(
        "cannot be charged for 35 days, then is declined",
        "sandbox_down_35_days_then_declines",
        Account(
            ends="past due since day 35",
            invoices="open",
            payments="35 declined (sent 2 times), 36 declined, 38 declined, 42 declined, "
            "49 declined",
            told="-7 renewal_reminder, 35 payment_failed, 36 payment_reminder, "
            "38 payment_reminder, 42 final_notice, 49 final_notice",
            ledger="receivable 10, revenue -10",
        ),
    ),
    Story(
        "cancels while nobody knows whether they paid",
        "sandbox_timeout_before_charging",
        Account(
            ends="canceled on day 0 (requested), forgotten on day 30",
            invoices="uncollectible",
            payments="0-5 void",
            told="-7 renewal_reminder, 0 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
        (Act("cancel", 0, 0.5),),
    ),
    Story(
        "cancels while the payment is waited for, which comes",
        "sandbox_pending_3_days_then_succeeds",
        Account(
            ends="canceled on day 1 (requested), forgotten on day 31",
            invoices="uncollectible",
            payments="0-3 paid, given back",
            told="-7 renewal_reminder, 1 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
        (Act("cancel", 1),),
    ),
    Story(
        "cancels at the period's end while payments fail",
        "pm_card_chargeDeclined",
        Account(
            ends="canceled on day 4 (period_end), forgotten on day 34",
            invoices="uncollectible",
            payments="0 declined, 1 declined, 3 declined",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "4 cancellation",
            ledger="bad_debt 10, revenue -10",
        ),
        (Act("cancel_at_period_end", 4),),
    ),
    Story(
        "cancels at the period's end, and thinks better of it",
        "pm_card_visa",
        TWICE._replace(
            told="-7 renewal_reminder, 24 ending_notice, 26 renewal_reminder, 54 renewal_reminder"
        ),
        (Act("cancel_at_period_end", 10), Act("uncancel", 26)),
    ),
    Story(
        "asks twice to be charged now",
        "sandbox_declined_4_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 2 declined (customer), 3 declined, "
            "5 paid (customer); 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, 3 payment_reminder, "
            "24 renewal_reminder, 54 renewal_reminder",
        ),
        (Act("pay_now", 2), Act("pay_now", 5)),
    ),
    Story(
        "has the bank take each payment back",
        "sandbox_disputed_after_10_days",
        Account(
            ends=ACTIVE,
            invoices="uncollectible; open",
            payments="0 paid; 31 paid",
            told="-7 renewal_reminder, 10 payment_needs_operator (operators), "
            "24 renewal_reminder, 41 payment_needs_operator (operators), 54 renewal_reminder",
            ledger="bad_debt 10, receivable 10, revenue -20",
        ),
        (Act("dispute_lost", 12),),
    ),
    Story(
        "must confirm each payment, and forgets the second",
        "sandbox_authentication_required",
        Account(
            ends="active until day 31",
            invoices="paid; open",
            payments="0-1 paid; 31- pending",
            told="-7 renewal_reminder, 0 payment_failed with a link, 24 renewal_reminder, "
            "31 payment_failed with a link",
            ledger="cash 10, receivable 10, revenue -20",
        ),
        (Act("confirm", 1),),
    ),
    Story(
        "changes the plan while past due",
        "sandbox_declined_2_then_succeeds",
        TWICE._replace(
            payments="0 declined, 1 declined, 3 paid; 31 paid",
            told="-7 renewal_reminder, 0 payment_failed, 1 payment_reminder, "
            "24 renewal_reminder, 54 renewal_reminder",
            ledger="cash 35, revenue -35",
        ),
        (Act("change_to_pro", 2),),
    ),
)


IN_FLIGHT = ("must confirm each payment, and forgets the second",)
"""Whose payment is still under way at the end."""


HEADER = ("customer", "payment method", "does", *Account._fields)


def day(instant: datetime) -> int:
    """The day on which an instant lies, from day 0's own hour on."""
    return (instant - DAY_0) // timedelta(days=1)


def row(story: Story) -> tuple[str, ...]:
    """The customer's line under HEADER."""
    deeds = ", ".join(f"{day(act.at)} {act.deed}" for act in story.acts)
    return (story.name, story.payment_method, deeds, *story.account)


def main() -> None:
    """Prints the table of docs/billing.md."""
    lines = [HEADER, ("---",) * len(HEADER), *map(row, STORIES)]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in lines))


if __name__ == "__main__":
    main()
