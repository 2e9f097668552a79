"""Carries out commands, queries and facts: one transaction each, with what it publishes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from uuid import UUID

import structlog

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, Message, encode
from shared.messages.decoding import decode
from shared.messages.events import EventEnvelope
from shared.messages.persons import PERSON_ERASED, PERSON_HELD
from shared.messages.problems import Refused
from shared.postgres import statements
from shared.postgres.store import PostgresStore
from shared.postgres.transaction import PooledConnection, advisory_lock_id
from shared.runtime.handling import AnyErrand, AnyEventHandler, AnyHandler, Heard, Work
from shared.runtime.outbox import Outbox
from shared.runtime.persons import check_present
from shared.runtime.surroundings import Surroundings
from shared.workflow.errors import Transient
from shared.workflow.facts import fact
from shared.workflow.ports import Clock, Delivery
from shared.workflow.records import DeadLetter, OutboxMessage
from shared.workflow.starts import start_message

log = structlog.get_logger()

DOING = "request"
FOREIGN_ACTOR = "nats"

STRANGE_SECONDS = 60.0
POISON_DELIVERIES = 10
"""After so many a fact whose handler fails goes to the dead letters."""


async def run_errand(
    errand: AnyErrand, surroundings: Surroundings, body: bytes, _headers: Mapping[str, str]
) -> bytes:
    """Carries out an errand. Raises Refused, and Transient while a server is away."""
    return encode(await errand.handle(surroundings, decode(body, errand.message)))


class Dispatcher:
    """The service's side of `commands.`, `queries.`, `ingest.` and `events.`."""

    def __init__(
        self,
        service: str,
        *,
        outbox: Outbox,
        store: PostgresStore,
        clock: Clock,
        new_id: Callable[[], UUID],
        facts: Mapping[str, AnyHandler],
        events: Sequence[AnyEventHandler] = (),
    ):
        self._service = service
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._facts = facts
        self._events = events

    async def answer(self, handler: AnyHandler, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Carries out a request; a repeated idempotency key answers as it did the first time.

        Raises Refused for what cannot be done and Transient while PostgreSQL is away.
        """
        request = self._decode(handler, body)
        key = headers.get(subjects.IDEMPOTENCY_KEY)
        source = f"{handler.name}/{key or self._new_id()}"
        async with self._outbox.transaction(DOING) as connection:
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
            messages = self._messages(work)
            await self._outbox.enqueue(connection, source, messages)
            if key is not None:
                await connection.execute(
                    statements.KEEP_RESULT, handler.name, key, sha256(body).digest(), reply
                )
        await self._outbox.publish(messages)
        return reply

    async def take(self, delivery: Delivery) -> str:
        """Carries out an ingested fact; what is wrong with it goes to the dead letters."""
        return await self._settled(delivery, self._take)

    async def hear(self, delivery: Delivery) -> str:
        """Carries out what follows from another service's fact, as `take` does."""
        handlers = [each for each in self._events if each.subject == delivery.subject]
        if not handlers and delivery.attempt < POISON_DELIVERIES:
            # During a deployment a newer build hears more: one of its replicas takes it.
            await delivery.nak(STRANGE_SECONDS)
            return "unknown"
        return await self._settled(delivery, partial(self._hear, handlers))

    async def _settled(
        self, delivery: Delivery, carry_out: Callable[[Delivery], Awaitable[None]]
    ) -> str:
        name = delivery.subject
        try:
            await carry_out(delivery)
        except Refused as refused:
            return await self._refuse(delivery, refused)
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

    async def _refuse(self, delivery: Delivery, refused: Refused) -> str:
        if refused.code == PERSON_HELD:
            # Either the person is released, or the fact is one of nobody any more.
            return await self._give_back(delivery)
        if refused.code != PERSON_ERASED:
            await self._bury(delivery, refused)
        # Of an erased person nothing is kept, not even what came too late.
        await delivery.term(refused.code)
        return "invalid"

    async def _give_back(self, delivery: Delivery) -> str:
        await delivery.nak(min(5.0, 0.25 * 2 ** min(delivery.attempt - 1, 5)))
        return "dropped"

    async def _take(self, delivery: Delivery) -> None:
        name = delivery.subject.removeprefix(subjects.ingest(self._service, ""))
        handler = self._facts.get(name)
        if handler is None:
            known = ", ".join(sorted(self._facts))
            raise Refused("unknown_fact", f"{name!r} is no fact of this service: {known}")
        fact = self._decode(handler, delivery.body)
        key = delivery.headers.get(subjects.MESSAGE_ID) or delivery.origin

        async def carry_out(work: Work) -> None:
            await handler.handle(work, fact)

        await self._transact(f"{handler.name}/{delivery.origin}", key, carry_out)

    async def _hear(self, handlers: Sequence[AnyEventHandler], delivery: Delivery) -> None:
        if not handlers:
            raise Refused("unknown_fact", f"{delivery.subject!r} is no fact that this build hears")
        envelope = decode(delivery.body, EventEnvelope)
        _, service, _ = delivery.subject.split(".", 2)
        heard = [
            Heard(
                envelope.id, service, envelope.occurred_at, decode(bytes(envelope.data), each.event)
            )
            for each in handlers
        ]

        async def carry_out(work: Work) -> None:
            for handler, each in zip(handlers, heard, strict=True):
                await handler.handle(work, each)

        await self._transact(f"{delivery.subject}/{envelope.id}", envelope.id, carry_out)

    async def _transact(
        self, source: str, key: str, carry_out: Callable[[Work], Awaitable[None]]
    ) -> None:
        async with self._outbox.transaction(DOING) as connection:
            work = Work(connection, self._clock.now(), FOREIGN_ACTOR, key)
            await carry_out(work)
            messages = self._messages(work)
            await self._outbox.enqueue(connection, source, messages)
        await self._outbox.publish(messages)

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
        if not row["reply"]:
            # A reply is never empty but where its person was erased since.
            check_present(None, erased=True, field=subjects.IDEMPOTENCY_KEY)
        if row["body_hash"] != sha256(body).digest():
            raise Refused(
                "idempotency_key_reused",
                "this Idempotency-Key came with another body before: use a new key",
            )
        reply: bytes = row["reply"]
        return reply

    def _messages(self, work: Work) -> list[OutboxMessage]:
        """What the work publishes, ready for the outbox."""
        messages = [
            fact(
                event,
                event_id=str(self._new_id()),
                service=self._service,
                occurred_at=work.now,
            ).message()
            for event in work.events
        ]
        for trigger in work.triggers:
            if trigger.id is None:
                raise ValueError(f"{type(trigger).__name__}: a trigger in the outbox needs an id")
            messages.append(
                start_message(
                    trigger.kind,
                    trigger.id,
                    encode(trigger),
                    actor=work.actor,
                    created_at=work.now,
                )
            )
        return [*messages, *work.messages]

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
