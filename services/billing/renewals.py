"""The renewal of a period: its id, and how it hears that something happened to its saga."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from services.billing.rules.dunning import DunningSchedule
from services.billing.saga import next_move
from services.billing.saga.state import Done
from services.billing.transitions import Applied
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    RenewalChanged,
    SignalCommand,
    StartRenewal,
    StartSubscriptionCleanup,
)
from shared.workflow.records import OutboxMessage

CLEANUP_AFTER = timedelta(days=30)

ANY_SCHEDULE = DunningSchedule()
"""When there is nothing left to do does not depend on it."""


def renewal_id(subscription_id: UUID, period_start: datetime, reopened: int = 0) -> str:
    """The id of the instance that has a period paid; each chargeback has another one."""
    suffix = f"-r{reopened}" if reopened else ""
    return f"renewal-{subscription_id}-{period_start.astimezone(UTC):%Y%m%dT%H%M%SZ}{suffix}"


def cleanup_of(subscription_id: UUID, canceled_at: datetime) -> StartSubscriptionCleanup:
    """The cleanup of a subscription that ended; nothing leaves that status, so there is one."""
    return StartSubscriptionCleanup(
        id=f"cleanup-{subscription_id}",
        start_at=canceled_at + CLEANUP_AFTER,
        subscription_id=subscription_id,
        canceled_at=canceled_at,
    )


def wake(workflow_id: str) -> OutboxMessage:
    """The signal on which a renewal looks again."""
    signal = SignalCommand(type=RenewalChanged.type)
    return OutboxMessage(
        id=str(uuid4()),
        subject=subjects.signal(StartRenewal.kind, workflow_id),
        body=encode(signal),
    )


def follow_up(applied: Applied, now: datetime) -> OutboxMessage | StartRenewal | None:
    """What lets a renewal go on after an event: a signal where one is under way, a start where the
    event made an ended one's saga go on; None where nothing is left to do, or no renewal began."""
    case, saga = applied.case, applied.change.saga
    if saga == case.saga or not case.stored:
        return None
    was_done = isinstance(next_move(case.saga, ANY_SCHEDULE, now), Done)
    subscription_id, period_start = case.terms.id, case.invoice.period_start
    reopened = case.invoice.reopened
    if not was_done:
        return wake(renewal_id(subscription_id, period_start, reopened))
    if isinstance(next_move(saga, ANY_SCHEDULE, now), Done):
        return None
    if saga.disputed:
        workflow_id = renewal_id(subscription_id, period_start, reopened + 1)
    else:
        # An attempt's money goes back once.
        number = 0 if saga.attempt is None else saga.attempt.number
        workflow_id = f"{renewal_id(subscription_id, period_start)}-refund-{number}"
    return StartRenewal(id=workflow_id, subscription_id=subscription_id, period_start=period_start)
