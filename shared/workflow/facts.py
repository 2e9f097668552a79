"""Facts that steps publish, as the messages that the outbox holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES, encode
from shared.messages.events import Event, EventEnvelope, WorkflowReference
from shared.workflow import tracing
from shared.workflow.errors import NonRetryableError
from shared.workflow.records import EntryKey, Instance, OutboxMessage

NAMESPACE = UUID("5d2c1c1e-6f0a-5f43-9f53-8a0f6c1b7d10")
"""Root of every id that is derived instead of drawn."""


class Fact(NamedTuple):
    """A fact on its way to the outbox, as yet without a number."""

    subject: str
    envelope: EventEnvelope
    headers: dict[str, str]

    def message(self, sequence: int | None = None) -> OutboxMessage:
        """What the outbox holds of it."""
        return OutboxMessage(
            id=self.envelope.id,
            subject=self.subject,
            body=encode(replace(self.envelope, sequence=sequence)),
            headers=self.headers,
        )


def fact(
    event: Event,
    *,
    event_id: str,
    service: str,
    occurred_at: datetime,
    workflow: WorkflowReference | None = None,
) -> Fact:
    """An event as a fact. Raises NonRetryableError over 1 MiB: once committed, what no stream takes
    could never be published."""
    data = encode(event)
    if len(data) > MAX_CONTENT_BYTES:
        raise NonRetryableError(
            "event_too_large",
            f"the event {event.name} has {len(data)} bytes; {MAX_CONTENT_BYTES} are allowed",
        )
    return Fact(
        subjects.event(service, event.name),
        EventEnvelope(
            id=event_id,
            name=event.name,
            occurred_at=occurred_at,
            data=msgspec.Raw(data),
            workflow=workflow,
        ),
        tracing.outgoing(),
    )


def facts_of(
    instance: Instance,
    service: str,
    key: EntryKey,
    events: Sequence[Event],
    occurred_at: datetime,
) -> list[Fact]:
    """The facts of one step.

    Ids are derived from the step, so that a step made again after a crash publishes the same.
    """
    if not events:
        return []
    workflow = WorkflowReference(kind=instance.key.kind, id=instance.key.id, run=instance.run)
    place = f"{instance.key}/{instance.run}/{key.path}/{key.name}/{key.occurrence}"
    return [
        fact(
            event,
            event_id=str(uuid5(NAMESPACE, f"{place}/{number}")),
            service=service,
            occurred_at=occurred_at,
            workflow=workflow,
        )
        for number, event in enumerate(events, start=1)
    ]


def numbered(facts: Iterable[Fact], last: int) -> list[OutboxMessage]:
    """The facts of one commit, numbered on from the instance's last.

    Only whoever commits may number: of branches that are under way at once one may be lost, and a
    number that it had taken before would be missing for ever.
    """
    return [each.message(number) for number, each in enumerate(facts, start=last + 1)]
