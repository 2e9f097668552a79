"""Instances, journals, outbox and dead letters of one service in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from shared.postgres import rows, statements
from shared.postgres.transaction import PooledConnection, PostgresTransaction
from shared.postgres.trouble import transient_trouble
from shared.workflow.records import DeadLetter, Entry, Instance, InstanceKey, OutboxMessage

ACQUIRE_SECONDS = 10.0


class PostgresStore:
    """See ports.InstanceStore.

    `steps` serves the transactions of runs; `upkeep` is the small pool of everything else, so
    that neither can starve the other (engine rule 4).
    """

    def __init__(
        self,
        service: str,
        steps: asyncpg.Pool[asyncpg.Record],
        upkeep: asyncpg.Pool[asyncpg.Record],
    ):
        self._service = service
        self._steps = steps
        self._upkeep = upkeep
        self._sent: set[str] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[PostgresTransaction]:
        """See ports.InstanceStore."""
        async with transient_trouble("connect"):
            connection = await self._steps.acquire(timeout=ACQUIRE_SECONDS)
        transaction = PostgresTransaction(connection, self._service)
        try:
            async with transient_trouble("begin"):
                await transaction.begin()
            yield transaction
        finally:
            try:
                await transaction.end()
            finally:
                await self._steps.release(connection)

    async def load(self, key: InstanceKey) -> tuple[Instance, list[Entry]] | None:
        """See ports.InstanceStore."""
        # One snapshot, so that the row and its journal belong together.
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(statements.LOAD, key.kind, key.id)
            if row is None:
                return None
            instance = rows.instance(row)
            found = await connection.fetch(statements.JOURNAL, key.kind, key.id, instance.run)
        return instance, [rows.entry(row) for row in found]

    async def unsent(self, key: InstanceKey) -> list[OutboxMessage]:
        """See ports.InstanceStore."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.UNSENT_OF_SOURCE, str(key))
        return [rows.message(row) for row in found]

    async def mark_sent(self, ids: Iterable[str]) -> None:
        """See ports.InstanceStore. Gathered, and written by the relay for many at once."""
        self._sent.update(ids)

    async def bury(self, letter: DeadLetter) -> None:
        """See ports.InstanceStore."""
        async with self._connection() as connection:
            await connection.execute(
                statements.BURY,
                letter.origin,
                letter.subject,
                msgspec.json.encode(letter.headers).decode(),
                letter.body,
                letter.reason,
                letter.detail,
                letter.at,
            )

    # -- what the timekeeper and the relay do ---------------------------------------------------

    async def take_due(self, now: datetime, limit: int) -> list[InstanceKey]:
        """Instances that someone must look at, moved forward so that they are taken once."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.TAKE_DUE, now, limit)
        return [InstanceKey(row["kind"], row["id"]) for row in found]

    async def flush_sent(self) -> None:
        """Writes what mark_sent has gathered."""
        ids, self._sent = self._sent, set()
        if not ids:
            return
        try:
            async with self._connection() as connection:
                await connection.execute(statements.MARK_SENT, list(ids))
        except BaseException:
            self._sent |= ids
            raise

    async def relay(
        self,
        publish: Callable[[Sequence[OutboxMessage]], Awaitable[None]],
        *,
        older_than_seconds: float,
        limit: int,
    ) -> int:
        """Publishes what its writer did not, and marks it; returns how many messages."""
        async with self._connection() as connection, connection.transaction():
            found = await connection.fetch(statements.UNSENT, older_than_seconds, limit)
            messages = [rows.message(row) for row in found]
            if messages:
                await publish(messages)
                await connection.execute(statements.MARK_SENT, [message.id for message in messages])
        return len(messages)

    async def unsent_count(self) -> int:
        """Length of the relay's list."""
        async with self._connection() as connection:
            return int(await connection.fetchval(statements.UNSENT_COUNT))

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("upkeep"),
            self._upkeep.acquire(timeout=ACQUIRE_SECONDS) as connection,
        ):
            yield connection
