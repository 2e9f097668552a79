"""What must hold in billing at every moment, each as a statement that finds what breaks it."""

from __future__ import annotations

from shared.postgres.invariants import Invariants

INVARIANTS: Invariants = {
    "ledger_transactions_sum_to_zero": """
        SELECT transaction_key AS subject, currency || ' ' || sum(amount_minor) AS detail
        FROM ledger_entries GROUP BY transaction_key, currency HAVING sum(amount_minor) <> 0
    """,
    # What a bank took back, and gave back, is in no attempt.
    "cash_is_what_attempts_brought_less_refunds": """
        WITH booked AS (
            SELECT account, currency, sum(amount_minor) AS amount_minor FROM ledger_entries
            WHERE account LIKE 'cash:%'
              AND split_part(transaction_key, '/', 2) NOT IN ('dispute', 'dispute_won')
            GROUP BY account, currency
        ), brought AS (
            SELECT 'cash:' || provider AS account, currency, sum(amount_minor) AS amount_minor
            FROM payment_attempts
            WHERE state = 'succeeded' AND refund_state IS DISTINCT FROM 'refunded'
            GROUP BY provider, currency
        )
        SELECT account AS subject, currency || ' ' || coalesce(booked.amount_minor, 0)
               || ' booked, ' || coalesce(brought.amount_minor, 0) || ' brought' AS detail
        FROM booked FULL JOIN brought USING (account, currency)
        WHERE coalesce(booked.amount_minor, 0) <> coalesce(brought.amount_minor, 0)
    """,
    "receivable_is_what_open_invoices_ask": """
        WITH booked AS (
            SELECT currency, sum(amount_minor) AS amount_minor FROM ledger_entries
            WHERE account = 'receivable' GROUP BY currency
        ), asked AS (
            SELECT currency, sum(amount_minor) AS amount_minor FROM invoices
            WHERE state = 'open' GROUP BY currency
        )
        SELECT currency AS subject, coalesce(booked.amount_minor, 0) || ' booked, '
               || coalesce(asked.amount_minor, 0) || ' asked' AS detail
        FROM booked FULL JOIN asked USING (currency)
        WHERE coalesce(booked.amount_minor, 0) <> coalesce(asked.amount_minor, 0)
    """,
    "an_invoice_has_one_unfinished_attempt": """
        SELECT invoice_id::text AS subject, string_agg(provider_key, ', ') AS detail
        FROM payment_attempts WHERE state IN ('submitted', 'pending', 'unknown', 'not_sent')
        GROUP BY invoice_id HAVING count(*) > 1
    """,
    # After a chargeback the invoice may have been paid once more.
    "a_paid_invoice_has_the_attempt_that_paid_it": """
        SELECT i.id::text AS subject, count(a.id) || ' attempts succeeded' AS detail
        FROM invoices AS i LEFT JOIN payment_attempts AS a ON a.invoice_id = i.id
            AND a.state = 'succeeded' AND a.refund_reason IS DISTINCT FROM 'surplus'
        WHERE i.state = 'paid'
        GROUP BY i.id HAVING count(a.id) NOT BETWEEN 1 AND 1 + i.reopened
    """,
    # One that came in the very moment in which its attempt was written: have it sent again.
    "a_parked_event_waits_for_its_attempt": """
        SELECT e.provider || '/' || e.event_id AS subject, 'attempt ' || a.provider_key AS detail
        FROM provider_events AS e JOIN payment_attempts AS a
            ON a.provider = e.provider AND a.provider_key = e.payment_key
        WHERE e.applied_at IS NULL
    """,
    "a_period_over_is_being_billed": """
        SELECT s.id::text AS subject, s.status || ' until ' || s.current_period_end AS detail
        FROM subscriptions AS s
        WHERE s.status IN ('active', 'trialing')
          AND s.current_period_end < $1::timestamptz - interval '30 minutes'
          AND NOT EXISTS (
            SELECT FROM invoices AS i JOIN payment_attempts AS a ON a.invoice_id = i.id
            WHERE i.subscription_id = s.id AND i.state = 'open'
              AND a.state IN ('submitted', 'pending', 'unknown', 'not_sent'))
    """,
    "the_period_is_that_of_the_last_paid_invoice": """
        SELECT s.id::text AS subject, s.current_period_start || ' to ' || s.current_period_end
               || ', paid ' || i.period_start || ' to ' || i.period_end AS detail
        FROM subscriptions AS s
        CROSS JOIN LATERAL (
            SELECT period_start, period_end FROM invoices
            WHERE subscription_id = s.id AND paid_at IS NOT NULL
            ORDER BY period_start DESC LIMIT 1
        ) AS i
        WHERE (s.current_period_start, s.current_period_end) <> (i.period_start, i.period_end)
    """,
    "a_past_due_subscription_owes_an_open_invoice": """
        SELECT s.id::text AS subject, 'past due since ' || s.past_due_since AS detail
        FROM subscriptions AS s
        WHERE s.status = 'past_due' AND NOT EXISTS (
            SELECT FROM invoices WHERE subscription_id = s.id AND state = 'open')
    """,
    "a_canceled_subscription_owes_nothing": """
        SELECT s.id::text AS subject, 'invoice ' || i.id || ' is open' AS detail
        FROM subscriptions AS s JOIN invoices AS i ON i.subscription_id = s.id
        WHERE s.status = 'canceled' AND i.state IN ('draft', 'open') AND i.paid_at IS NULL
    """,
}
