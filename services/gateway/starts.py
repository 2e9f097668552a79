"""Starts: which request wins an id, and what the others are told (engine rule 15)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from hashlib import sha256
from typing import Any, cast
from uuid import UUID, uuid5

import msgspec

from services.gateway import metrics
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.decoding import convert
from shared.messages.problems import Problem, Refused
from shared.messages.workflows import TRIGGERS, Status, StatusDocument
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock, Publisher
from shared.workflow.records import InstanceKey, OutboxMessage

NAMESPACE = UUID("0f1c8a56-2b0d-5c39-8a84-5f3f4d1e9b27")
"""Root of the ids that follow from an idempotency key."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start that is well formed, as it will be published."""

    key: InstanceKey
    body: bytes
    actor: str
    idempotency_key: str | None

    @property
    def body_hash(self) -> str:
        """Tells two bodies apart; the order of their fields does not count."""
        return sha256(self.body).hexdigest()


class Outcome(StrEnum):
    """What became of a start."""

    ACCEPTED = "accepted"
    REPLAYED = "replayed"
    EXISTS = "exists"
    KEY_REUSED = "key_reused"


class NotConfirmed(Exception):
    """JetStream did not say that it keeps these starts; they may or may not run."""

    def __init__(self, keys: tuple[InstanceKey, ...]):
        super().__init__(", ".join(map(str, keys)))
        self.keys = keys

    def problem(self) -> Problem:
        """Names the ids, and how to repeat the request so that nothing starts twice."""
        ids = ", ".join(key.id for key in self.keys)
        return Problem(
            code="start_not_confirmed",
            title="Start not confirmed",
            status=503,
            detail=(
                f"it is not certain that the start of {ids} was stored. Repeat the request with "
                "the same Idempotency-Key if it had one, else with this `id`: it starts once at "
                "most, and a 409 then means that it was accepted"
            ),
            workflow_id=self.keys[0].id if len(self.keys) == 1 else None,
        )


def prepare(
    kind: str,
    value: Any,
    *,
    actor: str,
    idempotency_key: str | None,
    new_id: Callable[[], UUID],
    place: str = "",
) -> Start:
    """A start from decoded JSON; one without an id gets that of its idempotency key or a new one.

    `place` tells the members of a batch apart, which share a key. Raises Refused.
    """
    trigger = convert(value, TRIGGERS[kind])
    if trigger.id is not None:
        workflow_id = trigger.id
    elif idempotency_key is not None:
        # A repeated request must meet the key that its first attempt created.
        workflow_id = str(uuid5(NAMESPACE, f"{actor}/{kind}/{place}/{idempotency_key}"))
    else:
        workflow_id = str(new_id())
    # The value and not the trigger, so that fields of a newer service pass an older gateway.
    fields = {**cast("dict[str, Any]", value), "id": workflow_id}
    body = msgspec.json.encode(fields, order="sorted")
    if len(body) > MAX_CONTENT_BYTES:
        raise Refused(
            "too_large", f"the input has {len(body)} bytes; {MAX_CONTENT_BYTES} fit", status=413
        )
    return Start(
        key=InstanceKey(kind, workflow_id),
        body=body,
        actor=actor,
        idempotency_key=idempotency_key,
    )


def judge(stored: StatusDocument, start: Start) -> Outcome:
    """What a start is told that finds its id taken."""
    if start.idempotency_key is None or stored.idempotency_key != start.idempotency_key:
        return Outcome.EXISTS
    return Outcome.REPLAYED if stored.body_hash == start.body_hash else Outcome.KEY_REUSED


class Starter:
    """Accepts starts."""

    def __init__(self, statuses: JetStreamStatusBucket, publisher: Publisher, clock: Clock):
        self._statuses = statuses
        self._publisher = publisher
        self._clock = clock

    async def start(self, start: Start) -> Outcome:
        """Starts the instance, or says why not. Raises NotConfirmed while JetStream is away."""
        try:
            outcome = await self._start(start)
        except Transient as error:
            metrics.STARTS.labels(start.key.kind, "not_confirmed").inc()
            raise NotConfirmed((start.key,)) from error
        metrics.STARTS.labels(start.key.kind, outcome).inc()
        return outcome

    async def _start(self, start: Start) -> Outcome:
        document = self._queued(start)
        revision = await self._statuses.create(start.key, document)
        if revision is not None:
            await self._publish(start, document, revision)
            return Outcome.ACCEPTED
        stored = await self._statuses.get(start.key)
        if stored is None:
            raise Transient(f"{start.key} was deleted meanwhile")
        outcome = judge(stored.document, start)
        lost_perhaps = _untouched(stored.document) and stored.document.body_hash == start.body_hash
        if outcome is Outcome.REPLAYED or (outcome is Outcome.EXISTS and lost_perhaps):
            # The first request may have ended between key and message. One without an
            # idempotency key is told 409 all the same, and this makes it true.
            await self._publish(start, stored.document, stored.revision)
        return outcome

    def _queued(self, start: Start) -> StatusDocument:
        now = self._clock.now()
        return StatusDocument(
            workflow_id=start.key.id,
            kind=start.key.kind,
            status=Status.QUEUED,
            created_at=now,
            updated_at=now,
            body_hash=start.body_hash,
            idempotency_key=start.idempotency_key,
            actor=start.actor,
        )

    async def _publish(self, start: Start, document: StatusDocument, revision: int) -> None:
        headers = {
            subjects.WORKFLOW_ID: start.key.id,
            subjects.CREATED_AT: document.created_at.isoformat(),
            subjects.BODY_HASH: start.body_hash,
        }
        if document.actor is not None:
            headers[subjects.ACTOR] = document.actor
        if document.idempotency_key is not None:
            headers[subjects.IDEMPOTENCY_KEY] = document.idempotency_key
        if _untouched(document):
            # Only of the gateway's own document is it certain that any other is newer.
            headers[subjects.STATUS_REVISION] = str(revision)
        message = OutboxMessage(
            id=f"{start.key}.{revision}",
            subject=subjects.start(start.key.kind),
            body=start.body,
            headers=headers,
        )
        await self._publisher.publish([message])


def _untouched(document: StatusDocument) -> bool:
    """Whether no service has put this key yet."""
    return document.order == (0, 0, 0)
