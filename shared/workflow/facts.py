"""Facts that steps publish, as the messages that the outbox holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.events import Event, EventEnvelope, WorkflowReference
from shared.workflow import tracing
from shared.workflow.errors import NonRetryableError
from shared.workflow.records import EntryKey, Instance, OutboxMessage

NAMESPACE = UUID("5d2c1c1e-6f0a-5f43-9f53-8a0f6c1b7d10")
"""Root of every id that is derived instead of drawn."""


def envelope(
    event: Event,
    *,
    event_id: str,
    service: str,
    occurred_at: datetime,
    workflow: WorkflowReference | None = None,
    sequence: int | None = None,
) -> OutboxMessage:
    """A fact, ready for the outbox. Raises NonRetryableError over 1 MiB: once committed, what no
    stream takes could never be published."""
    data = encode(event)
    if len(data) > MAX_CONTENT_BYTES:
        raise NonRetryableError(
            "event_too_large",
            f"the event {event.name} has {len(data)} bytes; {MAX_CONTENT_BYTES} are allowed",
        )
    body = EventEnvelope(
        id=event_id,
        name=event.name,
        occurred_at=occurred_at,
        data=msgspec.Raw(data),
        workflow=workflow,
        sequence=sequence,
    )
    return OutboxMessage(
        id=event_id,
        subject=subjects.event(service, event.name),
        body=encode(body),
        headers=tracing.outgoing(),
    )


def facts_of(
    instance: Instance,
    service: str,
    key: EntryKey,
    events: Sequence[Event],
    occurred_at: datetime,
) -> list[OutboxMessage]:
    """The facts of one step, numbered on from the instance's last.

    Ids are derived from the step, so that a step made again after a crash publishes the same.
    """
    if not events:
        return []
    workflow = WorkflowReference(kind=instance.key.kind, id=instance.key.id, run=instance.run)
    place = f"{instance.key}/{instance.run}/{key.path}/{key.name}/{key.occurrence}"
    return [
        envelope(
            event,
            event_id=str(uuid5(NAMESPACE, f"{place}/{number}")),
            service=service,
            occurred_at=occurred_at,
            workflow=workflow,
            sequence=instance.event_sequence + number,
        )
        for number, event in enumerate(events, start=1)
    ]
