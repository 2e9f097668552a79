"""What billing looks for again and again is found by an index, however many customers there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

import services.billing
from services.billing.models import SubscriptionStatus
from services.billing.store.cleanup import CleanupStore
from services.billing.store.customer_run import CustomerRunStore
from services.billing.store.customers import CustomerStore
from services.billing.store.invoices import InvoiceStore
from services.billing.store.provider_events import ProviderEventStore
from services.billing.store.saga import SagaStore
from services.billing.store.subscriptions import SubscriptionStore
from services.billing.store.sweep import SweepStore
from services.billing.store.usage import UsageStore
from shared.postgres.migrations import ENGINE_SQL
from shared.postgres.pool import create_pool
from shared.testing.servers import Databases
from shared.workflow.ports import Connection
from tests.plans import plan_of, statements_of

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
MANY = 3000
DUE = 30
CUSTOMER = UUID(int=1)
SUBSCRIPTION = UUID(int=1)
INVOICE = UUID(int=1)

# One row of each for every customer, whose ids are numbers, so that a test knows them.
FILL = f"""
INSERT INTO plans (id, name, price_minor, currency, interval, created_at)
SELECT n, 'Pro', 999, 'EUR', 'month', now() FROM generate_series(1, {MANY}) AS n;
INSERT INTO customers (id, tz, currency, created_at, synced_version)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'UTC', 'EUR', now(), 1 FROM generate_series(1, {MANY}) AS n;
INSERT INTO subscriptions (id, customer_id, plan_id, status, anchor_local, current_period_start,
                           current_period_end, next_look_at, created_at)
SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid, n, 'active',
       '{NOW:%Y-%m-%d}', '{NOW}'::timestamptz - interval '1 month',
       '{NOW}'::timestamptz + interval '1 month', '{NOW}'::timestamptz + n * interval '1 minute',
       '{NOW}'
FROM generate_series(1, {MANY}) AS n;
INSERT INTO subscription_events
    (subscription_id, version, name, previous_status, status, actor, created_at)
SELECT id, 1, 'started', 'none', 'active', 'test', now() FROM subscriptions;
INSERT INTO invoices (id, subscription_id, customer_id, plan_id, period_start, period_end,
                      amount_minor, currency, state, opened_at)
SELECT id, id, customer_id, plan_id, '{NOW}', '{NOW}'::timestamptz + interval '1 month',
       999, 'EUR', 'open', now() FROM subscriptions;
INSERT INTO payment_attempts (invoice_id, number, provider, provider_key, provider_reference,
                              initiator, payment_method, amount_minor, currency, state, sent_at,
                              created_at)
SELECT id, 1, 'sandbox', id::text, id::text, 'cycle', 'pm_card_visa', 999, 'EUR', 'pending', now(),
       now()
FROM invoices;
INSERT INTO ledger_entries (transaction_key, account, amount_minor, currency, customer_id,
                            invoice_id, created_at)
SELECT id::text, account, 999, 'EUR', customer_id, id, now()
FROM invoices, unnest(ARRAY['receivable', 'revenue']) AS account;
INSERT INTO provider_events (provider, event_id, payment_key, body, received_at)
SELECT 'sandbox', id::text, id::text, '{{}}', now() FROM invoices;
INSERT INTO usage_events (event_id, customer_id, metric, quantity, at, received_at)
SELECT c.id::text || metric, c.id, metric, 1, '{NOW}', '{NOW}'
FROM customers AS c, unnest(ARRAY['api_calls', 'storage_bytes']) AS metric;
INSERT INTO usage_gauges (customer_id, metric, value, at)
SELECT id, 'storage_bytes', 1, '{NOW}' FROM customers;
INSERT INTO usage_days (customer_id, metric, day, value, closed_at)
SELECT id, 'api_calls', '{NOW:%Y-%m-%d}', 1, '{NOW}' FROM customers;
INSERT INTO notices (name, recipient, key, data, created_at)
SELECT 'renewal_reminder', id::text, id::text, '{{}}', now() FROM customers;
INSERT INTO workflow_instances (kind, id, status, input, created_at, updated_at, started_at)
SELECT 'renewal', id::text, 'complete', 'null', now(), now(), now() FROM customers;
"""

Ask = Callable[[Connection], Awaitable[object]]

ASKED: dict[str, Ask] = {
    "next sweep": lambda c: SweepStore(c).earliest_look_at(),
    "sweep": lambda c: SweepStore(c).take_due(NOW, NOW + timedelta(hours=6), 500),
    "subscriptions of a run": lambda c: CustomerRunStore(c, CUSTOMER).lock_subscriptions(),
    "told": lambda c: CustomerRunStore(c, CUSTOMER).told(["renewal_reminder"], [str(CUSTOMER)]),
    "usage of a run": lambda c: CustomerRunStore(c, CUSTOMER).usage(SUBSCRIPTION, NOW),
    "days to close": lambda c: CustomerRunStore(c, CUSTOMER).close_days(
        (NOW + timedelta(days=1)).date(), NOW - timedelta(days=62), NOW + timedelta(days=1)
    ),
    "first open day": lambda c: CustomerRunStore(c, CUSTOMER).first_open_day(NOW.date()),
    "unsynced": lambda c: CustomerRunStore(c, CUSTOMER).unsynced_version(),
    "terms": lambda c: SagaStore(c, SUBSCRIPTION).terms(),
    "invoice of a period": lambda c: SagaStore(c, SUBSCRIPTION).invoice(NOW),
    "open invoice": lambda c: SagaStore(c, SUBSCRIPTION).open_invoice(),
    "last attempt": lambda c: SagaStore(c, SUBSCRIPTION).last_attempt(INVOICE),
    "page of invoices": lambda c: InvoiceStore(c).page(CUSTOMER, 50, None),
    "next page of invoices": lambda c: InvoiceStore(c).page(CUSTOMER, 50, INVOICE),
    "invoice": lambda c: InvoiceStore(c).find(INVOICE),
    "parked provider events": lambda c: ProviderEventStore(c, "sandbox").parked(str(INVOICE)),
    "place of an attempt": lambda c: ProviderEventStore(c, "sandbox").place(str(INVOICE)),
    "place by reference": lambda c: ProviderEventStore(c, "sandbox").place_by_reference(
        str(INVOICE)
    ),
    "balances": lambda c: CustomerStore(c).balances(CUSTOMER),
    "subscriptions of a customer": lambda c: SubscriptionStore(c).of_customer(CUSTOMER),
    "history": lambda c: SubscriptionStore(c).history(SUBSCRIPTION),
    "look soon": lambda c: SubscriptionStore(c).look_soon(
        CUSTOMER, [SubscriptionStatus.ACTIVE], NOW
    ),
    "usage": lambda c: UsageStore(c, CUSTOMER).usage([SubscriptionStatus.ACTIVE], NOW),
    "cleanup": lambda c: CleanupStore(c, SUBSCRIPTION).lock(NOW),
    "usage to delete": lambda c: CleanupStore(c, SUBSCRIPTION).delete_usage(CUSTOMER),
    "notices to delete": lambda c: CleanupStore(c, SUBSCRIPTION).delete_notices(CUSTOMER),
}


@pytest.fixture(scope="module")
async def pool(databases: Databases) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    own_sql = Path(services.billing.__path__[0]) / "sql"
    url = await databases.create("billing", {"engine": ENGINE_SQL, "billing": own_sql})
    pool = await create_pool(url, size=1, name="test", idle_timeout_seconds=30)
    await pool.execute(FILL)
    await pool.execute("VACUUM ANALYZE")
    yield pool
    pool.terminate()
    await databases.drop(url)


@pytest.mark.parametrize("name", ASKED)
async def test_one_customer_is_found_among_many_by_an_index(
    pool: asyncpg.Pool[asyncpg.Record], name: str
) -> None:
    asked = await statements_of(ASKED[name])
    assert asked
    for statement, args in asked:
        plan = await plan_of(pool, statement, *args)
        assert plan.scans
        assert "table" not in plan.scans, plan
        assert plan.in_vain <= 1, plan


async def test_a_sweep_reads_those_who_are_due_and_no_others(
    pool: asyncpg.Pool[asyncpg.Record],
) -> None:
    at = NOW + timedelta(minutes=DUE)
    [(statement, args)] = await statements_of(
        lambda c: SweepStore(c).take_due(at, at + timedelta(hours=6), 500)
    )
    plan = await plan_of(pool, statement, *args)
    assert sorted(plan.scans) == ["subscriptions_due", "subscriptions_pkey"]
    assert (plan.in_vain, plan.rows) == (0, DUE)
