"""Instances, journals, outbox and dead letters of one service in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
import msgspec

from shared.postgres import rows, statements
from shared.postgres.crons import CronStore
from shared.postgres.transaction import PooledConnection, PostgresTransaction
from shared.postgres.trouble import transient_trouble
from shared.workflow.inbox import stray_letter
from shared.workflow.records import (
    DeadLetter,
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    OutboxMessage,
)

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
            await _bury(connection, letter)

    async def unread(self, key: InstanceKey) -> list[InboxMessage]:
        """See ports.InstanceStore."""
        async with self._connection() as connection:
            found = await connection.fetch(statements.UNREAD, key.kind, key.id)
        return [rows.inbox_message(row) for row in found]

    async def keep(self, key: InstanceKey, messages: Sequence[InboxMessage]) -> None:
        """See ports.InstanceStore."""
        async with self._connection() as connection, connection.transaction():
            for message in messages:
                await connection.execute(
                    statements.KEEP_MESSAGE, *rows.inbox_parameters(key, message)
                )

    async def bury_stray(self, key: InstanceKey) -> None:
        """See ports.InstanceStore."""
        async with self._connection() as connection, connection.transaction():
            found = await connection.fetch(statements.TAKE_STRAY, key.kind, key.id)
            stray = [rows.inbox_message(row) for row in found]
            for message in stray:
                await _bury_stray(connection, key, message, "workflow_ended")

    # -- what the timekeeper and the relay do ---------------------------------------------------

    async def take_due(self, now: datetime, limit: int) -> list[InstanceKey]:
        """Instances that someone must look at, moved forward so that they are taken once."""
        async with self._connection() as connection:
            due = await connection.fetch(statements.TAKE_DUE, now, limit)
            unread = await connection.fetch(statements.TAKE_UNREAD, limit)
        # One wake an instance, however much lies there for it.
        return list(dict.fromkeys(InstanceKey(row["kind"], row["id"]) for row in (*due, *unread)))

    async def expire_unclaimed(self, before: datetime, limit: int) -> int:
        """Buries messages that came before `before` for instances that never did (rule 12)."""
        async with self._connection() as connection, connection.transaction():
            found = await connection.fetch(statements.TAKE_UNCLAIMED, before, limit)
            for row in found:
                key = InstanceKey(row["kind"], row["id"])
                await _bury_stray(connection, key, rows.inbox_message(row), "workflow_not_found")
        return len(found)

    async def earliest_cron_at(self) -> datetime | None:
        """When the next cron starts something, in business time; None when none will."""
        async with self._connection() as connection:
            return await CronStore(connection).earliest_at()

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


async def _bury_stray(
    connection: PooledConnection, key: InstanceKey, message: InboxMessage, reason: str
) -> None:
    letter = stray_letter(key, message, reason)
    if letter is not None:
        await _bury(connection, letter)


async def _bury(connection: PooledConnection, letter: DeadLetter) -> None:
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
