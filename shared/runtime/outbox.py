"""Transactions besides those of runs, and what they publish once they are committed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog

from shared.jetstream.connection import MessageTooLarge
from shared.postgres import statements
from shared.postgres.rows import message_columns
from shared.postgres.store import PostgresStore
from shared.postgres.transaction import PooledConnection
from shared.postgres.trouble import transient_trouble
from shared.workflow.errors import Transient
from shared.workflow.ports import Publisher
from shared.workflow.records import OutboxMessage

log = structlog.get_logger()

ACQUIRE_SECONDS = 5


class Outbox:
    """Transactions on a pool, with messages that are published if, and only if, they commit."""

    def __init__(
        self, pool: asyncpg.Pool[asyncpg.Record], store: PostgresStore, publisher: Publisher
    ):
        self._pool = pool
        self._store = store
        self._publisher = publisher

    @asynccontextmanager
    async def transaction(self, doing: str) -> AsyncGenerator[PooledConnection]:
        """A transaction that commits unless its body raises. Raises Transient, naming `doing`."""
        async with (
            transient_trouble(doing),
            self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection,
            connection.transaction(),
        ):
            yield connection

    async def enqueue(
        self, connection: PooledConnection, source: str, messages: Sequence[OutboxMessage]
    ) -> None:
        """Writes messages in the transaction; `source` says who wrote them."""
        if messages:
            await connection.execute(statements.ENQUEUE, source, *message_columns(messages))

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Publishes what is committed; what cannot be sent now is left to the relay."""
        if not messages:
            return
        try:
            await self._publisher.publish(messages)
            await self._store.mark_sent([message.id for message in messages])
        except (Transient, MessageTooLarge) as error:
            log.info("left_to_the_relay", messages=len(messages), reason=str(error))
