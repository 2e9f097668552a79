"""A customer whose service's database goes back to a backup, while the provider's books do not."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from services.billing.payments.books import Booked
from services.billing.payments.sandbox import SandboxProvider
from services.billing.workflows.customer import CustomerWorkflow
from services.billing.workflows.renewal import RenewalWorkflow
from shared.messages.workflows import StartCustomer, StartRenewal
from shared.testing.harness import Harness
from shared.workflow.registry import Registration, register
from tests import books
from tests.integration.renewal.bench import Following
from tests.subscribers import customers, subscriptions

# In the order in which they were made, so that what is referred to comes first.
TABLES = """
    SELECT c.oid::regclass::text AS name,
           (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND a.attgenerated = '') AS columns
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = current_schema()
      AND c.relname NOT LIKE 'schema_%' AND c.relname NOT LIKE 'saved_%'
    ORDER BY c.oid
"""


@dataclass
class Restoring:
    """One customer with one subscription that is due, and a provider in a database of its own."""

    harness: Harness
    provider: asyncpg.Pool[asyncpg.Record]
    customer: UUID
    subscription: UUID
    runs: int = 0

    async def run_customer(self) -> None:
        """As the sweep does."""
        self.runs += 1
        run = StartCustomer(id=f"run-{self.runs}", customer_id=self.customer)
        await self.harness.start(run)

    async def back_up(self) -> None:
        """Keeps every row of the service, as a dump does."""
        async with self.harness.connection() as connection:
            for table in await connection.fetch(TABLES):
                await connection.execute(
                    f"CREATE TABLE saved_{table['name']} AS TABLE {table['name']}"
                )

    async def restore(self) -> None:
        """Puts the rows back that were kept, and takes away all others."""
        async with self.harness.connection() as connection:
            tables = await connection.fetch(TABLES)
            await connection.execute(f"TRUNCATE {', '.join(each['name'] for each in tables)}")
            for table in tables:
                name, columns = table["name"], table["columns"]
                await connection.execute(
                    f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE"
                    f" SELECT {columns} FROM saved_{name}"
                )

    async def booked(self) -> list[Booked]:
        """What the provider knows."""
        return await books.booked(self.provider)

    async def complaints(self) -> list[str]:
        """In what the service and the provider differ."""
        async with self.harness.connection() as connection:
            return await books.complaints(connection, await self.booked(), self.harness.now)


def registrations(sandbox: SandboxProvider, following: Following) -> list[Registration]:
    """What is needed to be charged."""
    return [
        register(StartCustomer, CustomerWorkflow(sandbox, following)),
        register(StartRenewal, RenewalWorkflow(sandbox, following)),
    ]


async def subscribed(
    harness: Harness, provider: asyncpg.Pool[asyncpg.Record], method: str
) -> Restoring:
    """A customer who pays so, and whose period is over now."""
    now = harness.now
    async with harness.connection() as connection:
        [customer] = await customers(connection, 1, now, [method])
        [subscription] = await subscriptions(connection, [customer], now, now)
    return Restoring(harness, provider, customer, subscription)
