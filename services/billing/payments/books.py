"""Every statement on the sandbox's own tables."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.billing.models import Charge, Money, Payment, ProviderCustomer, Refund
from services.billing.payments.outgoing import Outgoing
from shared.workflow.ports import Connection

FIND_PAYMENT = """
    SELECT p.*, (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM sandbox_refunds r
                 WHERE r.payment_key = p.key) AS refunded_minor
    FROM sandbox_payments p WHERE p.key = $1
"""

SETTLE = """
    UPDATE sandbox_payments SET
        state = CASE WHEN settles_declined IS NULL THEN 'succeeded' ELSE 'declined' END,
        decline_code = settles_declined, action_url = NULL
    WHERE key IN (
        SELECT key FROM sandbox_payments
        WHERE state = 'pending' AND settles_at <= $1 AND ($2::text IS NULL OR key = $2)
        FOR UPDATE SKIP LOCKED
    )
    RETURNING key, settles_at
"""

SURVEY = """
    SELECT p.key, p.metadata ->> 'subscription' AS subscription, p.metadata ->> 'period' AS period,
        p.state, p.amount_minor, p.currency, p.decline_code, p.disputed_at,
        (SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM sandbox_refunds r
         WHERE r.payment_key = p.key) AS refunded_minor,
        (SELECT count(*) FROM sandbox_requests q WHERE q.key = p.key) AS requests
    FROM sandbox_payments p ORDER BY p.created_at, p.key
"""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as a witness tells it."""

    key: str
    subscription: str | None
    period: str | None
    """Both from the charge's metadata, under these names."""
    state: str
    amount_minor: int
    currency: str
    decline_code: str | None
    disputed_at: datetime | None
    refunded_minor: int
    requests: int
    """How often the charge arrived."""


class Books:
    """What the sandbox knows, inside one transaction."""

    def __init__(self, connection: Connection):
        self.outgoing = Outgoing(connection)
        self._connection = connection

    async def save_customer(self, customer: ProviderCustomer) -> str:
        """Keeps what is told of a customer; the reference."""
        reference: str = await self._connection.fetchval(
            """
            INSERT INTO sandbox_customers AS c (reference, customer_id, email, tz, payment_method)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (customer_id) DO UPDATE SET email = excluded.email, tz = excluded.tz,
                payment_method = excluded.payment_method
            RETURNING c.reference
            """,
            f"cus_{customer.customer_id.hex}",
            customer.customer_id,
            customer.email,
            customer.timezone,
            customer.payment_method,
        )
        return reference

    async def forget_customer(self, customer_id: UUID) -> None:
        """Empties what was told of a customer."""
        await self._connection.execute(
            """
            UPDATE sandbox_customers SET email = NULL, tz = 'UTC', payment_method = NULL
            WHERE customer_id = $1
            """,
            customer_id,
        )

    async def lock_customer(self, reference: str) -> bool:
        """Has the customer's charges come one after the other; False: there is no such customer."""
        found: int | None = await self._connection.fetchval(
            "SELECT 1 FROM sandbox_customers WHERE reference = $1 FOR UPDATE", reference
        )
        return found is not None

    async def note_request(self, charge: Charge, at: datetime) -> int:
        """Writes down that the charge arrived; how often it had before."""
        earlier: int = await self._connection.fetchval(
            """
            WITH noted AS (
                INSERT INTO sandbox_requests (key, customer_reference, payment_method, at)
                VALUES ($1, $2, $3, $4)
            )
            SELECT count(*) FROM sandbox_requests WHERE key = $1
            """,
            charge.key,
            charge.customer_reference,
            charge.payment_method,
            at,
        )
        return earlier

    async def first_request(self, key: str) -> tuple[str, datetime] | None:
        """The payment method that the key's charge names, and when its customer first used it."""
        row = await self._connection.fetchrow(
            """
            SELECT q.payment_method, min(f.at) AS at
            FROM sandbox_requests q
            JOIN sandbox_requests f USING (customer_reference, payment_method)
            WHERE q.key = $1 GROUP BY q.payment_method
            """,
            key,
        )
        return None if row is None else (row["payment_method"], row["at"])

    async def is_down(self, now: datetime) -> bool:
        """Whether an outage lasts at `now`."""
        found: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM sandbox_outages WHERE starts_at <= $1 AND ends_at > $1)",
            now,
        )
        return found

    async def go_down(self, now: datetime, until: datetime) -> None:
        """Begins an outage."""
        await self._connection.execute("INSERT INTO sandbox_outages VALUES ($1, $2)", now, until)

    async def add_payment(
        self,
        charge: Charge,
        payment: Payment,
        *,
        settles_at: datetime | None,
        code: str | None,
        disputed_at: datetime | None,
        at: datetime,
    ) -> None:
        """Books a charge with what became of it, or with when and how it will end."""
        await self._connection.execute(
            """
            INSERT INTO sandbox_payments (key, reference, customer_reference, payment_method,
                amount_minor, currency, metadata, state, decline_code, action_url, settles_at,
                settles_declined, disputed_at, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            charge.key,
            payment.reference,
            charge.customer_reference,
            charge.payment_method,
            charge.money.amount_minor,
            charge.money.currency,
            msgspec.json.encode(charge.metadata).decode(),
            payment.state,
            payment.decline_code,
            payment.action_url,
            settles_at,
            code,
            disputed_at,
            at,
        )

    async def find(self, key: str) -> tuple[Charge, Payment] | None:
        """What was asked for under the key, and what became of it."""
        row = await self._connection.fetchrow(FIND_PAYMENT, key)
        return None if row is None else (_charge(row), _payment(row))

    async def lock_payment(self, key: str) -> None:
        """Has the payment's refunds come one after the other."""
        await self._connection.execute(
            "SELECT 1 FROM sandbox_payments WHERE key = $1 FOR UPDATE", key
        )

    async def declines(self, customer_reference: str, payment_method: str) -> int:
        """How many charges of the customer with this method have been declined."""
        found: int = await self._connection.fetchval(
            """
            SELECT count(*) FROM sandbox_payments
            WHERE customer_reference = $1 AND payment_method = $2 AND state = 'declined'
            """,
            customer_reference,
            payment_method,
        )
        return found

    async def set_end(self, key: str, at: datetime) -> None:
        """Has a pending payment end at `at`."""
        await self._connection.execute(
            "UPDATE sandbox_payments SET settles_at = $2 WHERE key = $1 AND state = 'pending'",
            key,
            at,
        )

    async def settle(self, now: datetime, key: str | None = None) -> list[tuple[str, datetime]]:
        """Ends pending payments whose time has come, of this key or of all; which, and when."""
        rows = await self._connection.fetch(SETTLE, now, key)
        return [(row["key"], row["settles_at"]) for row in rows]

    async def dispute(self, key: str, at: datetime) -> None:
        """Books a chargeback."""
        await self._connection.execute(
            "UPDATE sandbox_payments SET disputed_at = $2 WHERE key = $1", key, at
        )

    async def find_refund(self, key: str) -> tuple[str, int] | None:
        """The payment's key and the amount of a refund."""
        row = await self._connection.fetchrow(
            "SELECT payment_key, amount_minor FROM sandbox_refunds WHERE key = $1", key
        )
        return None if row is None else (row["payment_key"], row["amount_minor"])

    async def add_refund(self, refund: Refund, at: datetime) -> None:
        """Books a refund."""
        await self._connection.execute(
            "INSERT INTO sandbox_refunds VALUES ($1, $2, $3, $4)",
            refund.key,
            refund.charge_key,
            refund.money.amount_minor,
            at,
        )

    async def survey(self) -> list[Booked]:
        """Every payment, the oldest first."""
        return [Booked(**dict(row)) for row in await self._connection.fetch(SURVEY)]


def reference_of(key: str) -> str:
    """A payment's id, which is not its key: who takes one for the other shall notice."""
    return f"pay_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _charge(row: Any) -> Charge:
    return Charge(
        key=row["key"],
        customer_reference=row["customer_reference"],
        payment_method=row["payment_method"],
        money=_money(row),
        metadata=msgspec.json.decode(row["metadata"], type=dict[str, str]),
    )


def _payment(row: Any) -> Payment:
    return Payment(
        key=row["key"],
        reference=row["reference"],
        state=row["state"],
        money=_money(row),
        refunded_minor=row["refunded_minor"],
        decline_code=row["decline_code"],
        action_url=row["action_url"],
        payment_method=row["payment_method"],
    )


def _money(row: Any) -> Money:
    return Money(amount_minor=row["amount_minor"], currency=row["currency"])
