"""Subscriptions as their customers change them; what payments make of them is the saga's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.billing.models import SubscriptionStatus
from services.billing.store import rows
from services.billing.store.rows import SUBSCRIPTION
from shared.messages.billing import Subscription, SubscriptionEntry
from shared.workflow.ports import Connection


class SubscriptionStore:
    """Adds, changes and finds subscriptions. What changes one has locked it before."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def add(
        self,
        subscription: Subscription,
        anchor_local: datetime,
        next_look_at: datetime | None,
        actor: str,
    ) -> bool:
        """Writes a new subscription and the first row of its history; False when the id is
        taken."""
        added = await self._connection.fetchval(
            """
            WITH added AS (
                INSERT INTO subscriptions
                    (id, customer_id, plan_id, status, anchor_local, current_period_start,
                     current_period_end, trial_end, next_look_at, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                ON CONFLICT (id) DO NOTHING
                RETURNING id, version, status, created_at
            )
            INSERT INTO subscription_events
                (subscription_id, version, name, previous_status, status, actor, created_at)
            SELECT id, version, 'started', 'none', status, $11, created_at FROM added
            RETURNING true
            """,
            subscription.id,
            subscription.customer_id,
            subscription.plan_id,
            subscription.status,
            anchor_local,
            subscription.current_period_start,
            subscription.current_period_end,
            subscription.trial_end,
            next_look_at,
            subscription.created_at,
            actor,
        )
        return added is not None

    async def change_plan(
        self,
        subscription_id: UUID,
        plan_id: str,
        anchor_local: datetime,
        periods: int,
        *,
        actor: str,
        at: datetime,
    ) -> Subscription:
        """Moves it to another plan, and has it looked at."""
        row = await self._connection.fetchrow(
            f"""
            WITH before AS (
                SELECT id, plan_id FROM subscriptions WHERE id = $1
            ), changed AS (
                UPDATE subscriptions SET
                    plan_id = $2, anchor_local = $3, periods = $4, version = version + 1,
                    next_look_at = $6
                WHERE id = $1 RETURNING *
            ), noted AS (
                INSERT INTO subscription_events
                    (subscription_id, version, name, previous_status, status, actor, data,
                     created_at)
                SELECT c.id, c.version, 'plan_changed', c.status, c.status, $5,
                       jsonb_build_object('previousPlanId', b.plan_id, 'planId', c.plan_id), $6
                FROM changed AS c JOIN before AS b USING (id)
            )
            SELECT {SUBSCRIPTION} FROM changed
            """,  # noqa: S608 - a constant of the code
            subscription_id,
            plan_id,
            anchor_local,
            periods,
            actor,
            at,
        )
        return rows.subscription(row)

    async def end_with_period(
        self, subscription_id: UUID, ends: bool, *, actor: str, at: datetime
    ) -> Subscription:
        """Schedules its end with the current period, or withdraws that; has it looked at."""
        row = await self._connection.fetchrow(
            f"""
            WITH changed AS (
                UPDATE subscriptions SET
                    cancel_at_period_end = $2, version = version + 1, next_look_at = $5
                WHERE id = $1 RETURNING *
            ), noted AS (
                INSERT INTO subscription_events
                    (subscription_id, version, name, previous_status, status, actor, created_at)
                SELECT id, version, $3, status, status, $4, $5 FROM changed
            )
            SELECT {SUBSCRIPTION} FROM changed
            """,  # noqa: S608
            subscription_id,
            ends,
            "cancellation_scheduled" if ends else "cancellation_withdrawn",
            actor,
            at,
        )
        return rows.subscription(row)

    async def find(self, subscription_id: UUID) -> Subscription | None:
        """The subscription of that id."""
        row = await self._connection.fetchrow(
            f"SELECT {SUBSCRIPTION} FROM subscriptions WHERE id = $1",  # noqa: S608
            subscription_id,
        )
        return None if row is None else rows.subscription(row)

    async def of_customer(self, customer_id: UUID) -> list[Subscription]:
        """All of a customer's, in the order they were made."""
        found = await self._connection.fetch(
            f"""
            SELECT {SUBSCRIPTION} FROM subscriptions WHERE customer_id = $1 ORDER BY created_at, id
            """,  # noqa: S608
            customer_id,
        )
        return [rows.subscription(row) for row in found]

    async def history(self, subscription_id: UUID) -> list[SubscriptionEntry]:
        """What became of it, in order."""
        found = await self._connection.fetch(
            """
            SELECT version, name, previous_status, status, actor, data::text AS data,
                   created_at AS at
            FROM subscription_events WHERE subscription_id = $1 ORDER BY version
            """,
            subscription_id,
        )
        return [rows.entry(row) for row in found]

    async def look_soon(
        self, customer_id: UUID, statuses: Sequence[SubscriptionStatus], at: datetime
    ) -> None:
        """Has the customer's run look at those in these statuses from `at` on."""
        await self._connection.execute(
            """
            WITH later AS (
                -- In the order in which everybody locks them.
                SELECT id FROM subscriptions
                WHERE customer_id = $1 AND status = ANY ($2::text[])
                  AND (next_look_at IS NULL OR next_look_at > $3)
                ORDER BY id FOR UPDATE
            )
            UPDATE subscriptions SET next_look_at = $3 FROM later
            WHERE subscriptions.id = later.id
            """,
            customer_id,
            list(statuses),
            at,
        )
