"""Customers with subscriptions, made by SQL: thousands at once, due when the test says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.workflow.ports import Connection

PLANS = """
INSERT INTO plans (id, name, price_minor, currency, interval, limit_api_calls, created_at)
VALUES ('eur', 'In euros', 999, 'EUR', 'month', 1000, $1),
       ('jpy', 'In yen', 1500, 'JPY', 'month', 1000, $1),
       ('kwd', 'In dinars', 3125, 'KWD', 'month', 1000, $1)
ON CONFLICT (id) DO NOTHING
"""

CUSTOMERS = """
INSERT INTO customers (id, email, tz, currency, payment_method, created_at)
SELECT gen_random_uuid(), 'customer@example.org', 'UTC', ('{EUR,JPY,KWD}'::text[])[1 + n % 3],
       ($2::text[])[1 + n % cardinality($2)], $3
FROM generate_series(1, $1::integer) AS n
RETURNING id
"""

SUBSCRIPTIONS = """
INSERT INTO subscriptions (id, customer_id, plan_id, status, anchor_local, current_period_start,
                           current_period_end, next_look_at, created_at)
SELECT gen_random_uuid(), c.id, lower(c.currency), 'active', $3 AT TIME ZONE 'UTC',
       $3::timestamptz - interval '1 month', $3, $3, $4
FROM customers AS c, generate_series(1, $2::integer) WHERE c.id = ANY ($1)
RETURNING id
"""


async def customers(
    connection: Connection, count: int, now: datetime, methods: Sequence[str] = ("pm_card_visa",)
) -> list[UUID]:
    """Customers in three currencies, with these payment methods by turns."""
    await connection.execute(PLANS, now)
    return [row[0] for row in await connection.fetch(CUSTOMERS, count, list(methods), now)]


async def subscriptions(
    connection: Connection,
    customer_ids: Sequence[UUID],
    due_at: datetime,
    now: datetime,
    *,
    each: int = 1,
) -> list[UUID]:
    """So many monthly subscriptions of each customer, whose next period begins at `due_at`."""
    rows = await connection.fetch(SUBSCRIPTIONS, list(customer_ids), each, due_at, now)
    return [row[0] for row in rows]
