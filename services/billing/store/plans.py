"""The plans that there are."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET

from services.billing.models import Money
from services.billing.store import rows
from shared.messages.billing import CreatePlan, Limits, Plan, UpdatePlan
from shared.workflow.ports import Connection


class PlanStore:
    """Lists, adds, changes and deletes plans."""

    def __init__(self, connection: Connection):
        self._connection = connection

    async def create(self, request: CreatePlan, price: Money, at: datetime) -> Plan | None:
        """A new plan; None when the id is taken."""
        row = await self._connection.fetchrow(
            """
            INSERT INTO plans (id, name, price_minor, currency, interval, limit_api_calls,
                               limit_storage_bytes, trial_days, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (id) DO NOTHING
            RETURNING *
            """,
            request.id,
            request.name,
            price.amount_minor,
            price.currency,
            request.interval,
            request.limits.api_calls,
            request.limits.storage_bytes,
            request.trial_days,
            at,
        )
        return None if row is None else rows.plan(row)

    async def update(self, request: UpdatePlan) -> Plan | None:
        """Changes what is given, limits as a whole; None when there is no such plan."""
        limits = request.limits if isinstance(request.limits, Limits) else Limits()
        row = await self._connection.fetchrow(
            """
            UPDATE plans SET
                name = coalesce($2, name),
                active = coalesce($3, active),
                limit_api_calls = CASE WHEN $4 THEN $5 ELSE limit_api_calls END,
                limit_storage_bytes = CASE WHEN $4 THEN $6 ELSE limit_storage_bytes END
            WHERE id = $1 RETURNING *
            """,
            request.plan_id,
            None if request.name is UNSET else request.name,
            None if request.active is UNSET else request.active,
            request.limits is not UNSET,
            limits.api_calls,
            limits.storage_bytes,
        )
        return None if row is None else rows.plan(row)

    async def lock(self, plan_id: str) -> Plan | None:
        """The plan, which nobody can subscribe to until the transaction ends."""
        row = await self._connection.fetchrow(
            "SELECT * FROM plans WHERE id = $1 FOR UPDATE", plan_id
        )
        return None if row is None else rows.plan(row)

    async def is_used(self, plan_id: str) -> bool:
        """Whether a subscription or an invoice names it, now or in the past."""
        used: bool = await self._connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM subscriptions WHERE plan_id = $1)
                OR EXISTS (SELECT FROM invoices WHERE plan_id = $1)
            """,
            plan_id,
        )
        return used

    async def delete(self, plan_id: str) -> None:
        """Deletes a plan that nothing names."""
        await self._connection.execute("DELETE FROM plans WHERE id = $1", plan_id)

    async def hold(self, plan_id: str) -> Plan | None:
        """The plan, which nobody can delete until the transaction ends."""
        row = await self._connection.fetchrow(
            "SELECT * FROM plans WHERE id = $1 FOR KEY SHARE", plan_id
        )
        return None if row is None else rows.plan(row)

    async def find(self, plan_id: str) -> Plan | None:
        """The plan of that id."""
        row = await self._connection.fetchrow("SELECT * FROM plans WHERE id = $1", plan_id)
        return None if row is None else rows.plan(row)

    async def plans(self, include_inactive: bool) -> list[Plan]:
        """All plans, the cheapest first."""
        found = await self._connection.fetch(
            """
            SELECT * FROM plans WHERE active OR $1
            ORDER BY currency, interval, price_minor, id
            """,
            include_inactive,
        )
        return [rows.plan(row) for row in found]
