"""The independent witness of billing: the sandbox's own books beside the service's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg

from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from services.billing.store import INVARIANTS
from shared.postgres.invariants import InvariantStore
from shared.runtime.clocks import SystemClock
from shared.runtime.config import Secret
from shared.workflow.ports import Connection

EXAMPLES = 5

INVOICES = """
SELECT i.subscription_id::text AS subscription, i.period_start, i.state, i.amount_minor, i.currency,
       coalesce((SELECT sum(e.amount_minor) FROM ledger_entries AS e
                 WHERE e.invoice_id = i.id AND e.account = 'cash:sandbox'), 0)::bigint AS cash_minor
FROM invoices AS i
"""
ATTEMPTS = """
SELECT provider_key AS key, state, amount_minor, currency,
       CASE refund_state WHEN 'refunded' THEN amount_minor ELSE 0 END AS refunded_minor
FROM payment_attempts
"""


class Period(NamedTuple):
    """A subscription's month."""

    subscription: str
    start: datetime


async def booked(pool: asyncpg.Pool[asyncpg.Record]) -> list[Booked]:
    """The sandbox's books, in the database of `pool`."""
    return await SandboxProvider(pool, SystemClock(), Secret("whsec_witness")).books()


def charges(books: Iterable[Booked]) -> Counter[Period]:
    """How many charges succeeded and were not given back, by period."""
    return Counter(_period(each) for each in books if each.state == "succeeded" and _kept(each))


async def complaints(connection: Connection, books: Iterable[Booked], now: datetime) -> list[str]:
    """All in which the service's tables and the books differ, or that must never be."""
    books = list(books)
    invoices = await connection.fetch(INVOICES)
    attempts = {row["key"]: row for row in await connection.fetch(ATTEMPTS)}
    charged = charges(books)
    taken: Counter[tuple[Period, str]] = Counter()
    for each in books:
        if each.state == "succeeded":
            taken[_period(each), each.currency] += _kept(each)
    found = [
        *_complain("periods charged more than once", [p for p in charged if charged[p] > 1]),
        *_complain(
            "charges given back in part",
            [each.key for each in books if each.refunded_minor and _kept(each)],
        ),
        *_complain(
            "invoices whose ledger is not the books'",
            [
                dict(row)
                for row in invoices
                if row["cash_minor"] != taken.pop((_of_invoice(row), row["currency"]), 0)
            ],
        ),
        *_complain("periods charged without an invoice", [p for p, kept in taken.items() if kept]),
        *_complain(
            "paid invoices without their charge, or unpaid ones with one",
            [
                dict(row)
                for row in invoices
                if (row["state"] == "paid") != (charged[_of_invoice(row)] == 1)
            ],
        ),
        *_complain(
            "payments that the service knows otherwise",
            [each.key for each in books if not _known(each, attempts.get(each.key))],
        ),
    ]
    broken = await InvariantStore(connection, INVARIANTS).broken(now)
    for name in broken.counts:
        named = [each for each in broken.violations if each.invariant == name]
        found += _complain(name, named)
    return found


def _period(each: Booked) -> Period:
    return Period(each.subscription or "", datetime.fromisoformat(each.period or ""))


def _of_invoice(row: Any) -> Period:
    return Period(row["subscription"], row["period_start"])


def _kept(each: Booked) -> int:
    return each.amount_minor - each.refunded_minor


def _known(each: Booked, attempt: Any) -> bool:
    return attempt is not None and (
        (each.state, each.amount_minor, each.currency, each.refunded_minor)
        == (
            attempt["state"],
            attempt["amount_minor"],
            attempt["currency"],
            attempt["refunded_minor"],
        )
    )


def _complain(what: str, rows: list[Any]) -> list[str]:
    return [f"{len(rows)} {what}, such as {rows[:EXAMPLES]}"] if rows else []
