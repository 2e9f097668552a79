"""Commands that start instances, as the messages that the outbox holds."""

from __future__ import annotations

from datetime import datetime

from shared.messages import subjects
from shared.workflow import tracing
from shared.workflow.records import OutboxMessage


def start_message(
    kind: str, workflow_id: str, body: bytes, *, actor: str, created_at: datetime
) -> OutboxMessage:
    """A start whose id is decided; written or published twice, it starts one instance."""
    return OutboxMessage(
        id=subjects.status_key(kind, workflow_id),
        subject=subjects.start(kind),
        headers={
            **tracing.outgoing(),
            subjects.WORKFLOW_ID: workflow_id,
            subjects.ACTOR: actor,
            subjects.CREATED_AT: created_at.isoformat(),
        },
        body=body,
    )
