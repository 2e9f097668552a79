"""Each invariant is told when it is broken, and only then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.billing.store import INVARIANTS
from tests.integration.billing.studio import Studio

BREAKING = {
    "ledger_transactions_sum_to_zero": (
        "UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE account = 'revenue'"
    ),
    "cash_is_what_attempts_brought_less_refunds": (
        "UPDATE payment_attempts SET amount_minor = amount_minor + 1"
    ),
    "receivable_is_what_open_invoices_ask": (
        "DELETE FROM ledger_entries WHERE transaction_key LIKE '%/opened/%'"
    ),
    "an_invoice_has_one_unfinished_attempt": """
        DROP INDEX payment_attempts_unfinished;
        INSERT INTO payment_attempts (invoice_id, number, provider, provider_key, initiator,
            payment_method, amount_minor, currency, state, sent_at, created_at)
        SELECT invoice_id, number + n, provider, provider_key || n, initiator, payment_method,
            amount_minor, currency, 'unknown', sent_at, created_at
        FROM payment_attempts, generate_series(1, 2) AS n
    """,
    "a_paid_invoice_has_the_attempt_that_paid_it": """
        UPDATE payment_attempts SET refund_reason = 'surplus', refund_state = 'due'
    """,
    "a_parked_event_waits_for_its_attempt": """
        INSERT INTO provider_events (provider, event_id, payment_key, body, outcome, received_at)
        SELECT provider, 'evt_1', provider_key, '{}', 'parked', now() FROM payment_attempts
    """,
    "a_period_over_is_being_billed": """
        UPDATE subscriptions SET current_period_start = current_period_start - interval '3 months',
            current_period_end = current_period_end - interval '3 months'
    """,
    "the_period_is_that_of_the_last_paid_invoice": (
        "UPDATE subscriptions SET current_period_end = current_period_end + interval '1 day'"
    ),
    "a_past_due_subscription_owes_an_open_invoice": (
        "UPDATE subscriptions SET status = 'past_due', past_due_since = created_at"
    ),
    "a_canceled_subscription_owes_nothing": """
        UPDATE invoices SET state = 'open', paid_at = NULL;
        UPDATE subscriptions SET status = 'canceled', canceled_at = created_at
    """,
}


async def test_nothing_is_broken_by_a_payment(studio: Studio) -> None:
    await studio.paid()
    await studio.charged(plan_id="pro")
    assert await studio.broken() == set()


@pytest.mark.parametrize("invariant", INVARIANTS)
async def test_what_breaks_an_invariant_is_told(studio: Studio, invariant: str) -> None:
    await studio.paid()
    await studio.pool.execute(BREAKING[invariant])
    assert invariant in await studio.broken()


async def test_a_period_may_be_over_for_half_an_hour(studio: Studio) -> None:
    subscription = await studio.find((await studio.paid()).subscription_id)
    studio.clock.set(subscription.current_period_end + timedelta(minutes=30))
    assert await studio.broken() == set()
    studio.clock.advance(timedelta(seconds=1))
    assert await studio.broken() == {"a_period_over_is_being_billed"}
    await studio.charged_again(subscription)
    assert await studio.broken() == set()
