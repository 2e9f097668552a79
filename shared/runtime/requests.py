"""Carries out commands, queries and facts: one transaction each, with what it publishes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from uuid import UUID

import asyncpg
import structlog

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, Message, encode
from shared.messages.decoding import decode
from shared.messages.problems import Refused
from shared.postgres import statements
from shared.postgres.rows import message_columns
from shared.postgres.store import PostgresStore
from shared.postgres.transaction import PooledConnection, advisory_lock_id
from shared.postgres.trouble import transient_trouble
from shared.runtime.handling import AnyHandler, Work
from shared.workflow.errors import Transient
from shared.workflow.facts import envelope
from shared.workflow.ports import Clock, Delivery, Publisher
from shared.workflow.records import DeadLetter, OutboxMessage

log = structlog.get_logger()

FOREIGN_ACTOR = "nats"

POISON_DELIVERIES = 10
"""After so many a fact whose handler fails goes to the dead letters."""


class Dispatcher:
    """The service's side of `commands.`, `queries.` and `ingest.`."""

    def __init__(
        self,
        service: str,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        store: PostgresStore,
        publisher: Publisher,
        clock: Clock,
        new_id: Callable[[], UUID],
        facts: Mapping[str, AnyHandler],
    ):
        self._service = service
        self._pool = pool
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._new_id = new_id
        self._facts = facts

    async def answer(self, handler: AnyHandler, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Carries out a request; a repeated idempotency key answers as it did the first time.

        Raises Refused for what cannot be done and Transient while PostgreSQL is away.
        """
        request = self._decode(handler, body)
        key = headers.get(subjects.IDEMPOTENCY_KEY)
        source = f"{handler.name}/{key or self._new_id()}"
        async with self._transaction() as connection:
            if key is not None:
                known = await self._known_reply(connection, handler.name, key, body)
                if known is not None:
                    return known
            work = Work(
                connection,
                self._clock.now(),
                headers.get(subjects.ACTOR, FOREIGN_ACTOR),
                key or source,
            )
            reply = encode(await handler.handle(work, request))
            messages = await self._enqueue(work, source)
            if key is not None:
                await connection.execute(
                    statements.KEEP_RESULT, handler.name, key, sha256(body).digest(), reply
                )
        await self._publish(messages)
        return reply

    async def take(self, delivery: Delivery) -> str:
        """Carries out an ingested fact; what is wrong with it goes to the dead letters."""
        name = delivery.subject.removeprefix(subjects.ingest(self._service, ""))
        handler = self._facts.get(name)
        try:
            if handler is None:
                known = ", ".join(sorted(self._facts))
                raise Refused("unknown_fact", f"{name!r} is no fact of this service: {known}")
            await self._take(handler, delivery)
        except Refused as refused:
            await self._bury(delivery, refused)
            await delivery.term(refused.code)
            return "invalid"
        except Transient as error:
            log.warning("fact_dropped", fact=name, reason=str(error))
            return await self._give_back(delivery)
        except Exception as error:
            # A defect of the handler: the fact is neither lost nor in the way for ever.
            log.exception("fact_failed", fact=name)
            if delivery.attempt < POISON_DELIVERIES:
                return await self._give_back(delivery)
            await self._bury(delivery, Refused("poisoned", repr(error)))
            await delivery.term("poisoned")
            return "poisoned"
        await delivery.ack()
        return "taken"

    async def _give_back(self, delivery: Delivery) -> str:
        await delivery.nak(min(5.0, 0.25 * 2 ** min(delivery.attempt - 1, 5)))
        return "dropped"

    async def _take(self, handler: AnyHandler, delivery: Delivery) -> None:
        fact = self._decode(handler, delivery.body)
        key = delivery.headers.get(subjects.MESSAGE_ID) or delivery.origin
        source = f"{handler.name}/{delivery.origin}"
        async with self._transaction() as connection:
            work = Work(connection, self._clock.now(), FOREIGN_ACTOR, key)
            await handler.handle(work, fact)
            messages = await self._enqueue(work, source)
        await self._publish(messages)

    def _decode(self, handler: AnyHandler, body: bytes) -> Message:
        if len(body) > MAX_CONTENT_BYTES:
            raise Refused(
                "too_large", f"{len(body)} bytes; {MAX_CONTENT_BYTES} are allowed", status=413
            )
        decoded: Message = decode(body, handler.message)
        return decoded

    async def _known_reply(
        self, connection: PooledConnection, request: str, key: str, body: bytes
    ) -> bytes | None:
        """The reply of an earlier request with this key; a concurrent one is waited for."""
        await connection.execute(
            statements.LOCK_REQUEST, advisory_lock_id(self._service, request, key)
        )
        row = await connection.fetchrow(statements.KNOWN_RESULT, request, key)
        if row is None:
            return None
        if row["body_hash"] != sha256(body).digest():
            raise Refused(
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before: use a new key",
            )
        reply: bytes = row["reply"]
        return reply

    async def _enqueue(self, work: Work, source: str) -> list[OutboxMessage]:
        messages = [
            envelope(
                event,
                event_id=str(self._new_id()),
                service=self._service,
                occurred_at=work.now,
            )
            for event in work.events
        ]
        for trigger in work.triggers:
            if trigger.id is None:
                raise ValueError(f"{type(trigger).__name__}: a trigger in the outbox needs an id")
            messages.append(
                OutboxMessage(
                    id=subjects.status_key(trigger.kind, trigger.id),
                    subject=subjects.start(trigger.kind),
                    headers={
                        subjects.WORKFLOW_ID: trigger.id,
                        subjects.ACTOR: work.actor,
                        subjects.CREATED_AT: work.now.isoformat(),
                    },
                    body=encode(trigger),
                )
            )
        messages += work.messages
        if messages:
            await work.connection.execute(statements.ENQUEUE, source, *message_columns(messages))
        return messages

    async def _publish(self, messages: list[OutboxMessage]) -> None:
        if not messages:
            return
        try:
            await self._publisher.publish(messages)
            await self._store.mark_sent([message.id for message in messages])
        except Transient as error:
            log.info("left_to_the_relay", messages=len(messages), reason=str(error))

    async def _bury(self, delivery: Delivery, refused: Refused) -> None:
        log.warning("fact_refused", subject=delivery.subject, code=refused.code)
        field = f"{refused.field}: " if refused.field else ""
        await self._store.bury(
            DeadLetter(
                origin=delivery.origin,
                subject=delivery.subject,
                headers=dict(delivery.headers),
                body=delivery.body,
                reason=refused.code,
                detail=f"{field}{refused.detail}",
                at=self._clock.now(),
            )
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[PooledConnection]:
        async with (
            transient_trouble("request"),
            self._pool.acquire(timeout=5) as connection,
            connection.transaction(),
        ):
            yield connection
