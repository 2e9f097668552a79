"""The renewal of a period: its id, and how it hears that something happened to its saga."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from services.billing.rules.dunning import DunningSchedule
from services.billing.saga import next_move
from services.billing.saga.state import Done
from services.billing.store.instances import InstanceStore
from services.billing.transitions import Applied
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import (
    RenewalChanged,
    SignalCommand,
    StartRenewal,
    StartSubscriptionCleanup,
)
from shared.workflow.ports import Connection
from shared.workflow.records import OutboxMessage

CLEANUP_AFTER = timedelta(days=30)

SPARE_IDS = 20
"""Renewals of one period that operators can have ended by hand."""

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


async def go_on(
    connection: Connection, applied: Applied, now: datetime
) -> OutboxMessage | StartRenewal | None:
    """What `follow_up` says, told to whoever is there: a renewal that failed or was terminated
    hears no signal, and what it left under way is somebody's money."""
    told = follow_up(applied, now)
    if told is None or isinstance(told, StartRenewal):
        return told
    invoice, attempt = applied.case.invoice, applied.case.attempt
    first = renewal_id(applied.case.terms.id, invoice.period_start, invoice.reopened)
    found = await find_renewals(connection, first, 0 if attempt is None else attempt.number)
    if found.under_way is not None:
        return wake(found.under_way)
    if not found.begun:
        return told
    return StartRenewal(
        id=found.next_id,
        subscription_id=applied.case.terms.id,
        period_start=invoice.period_start,
    )


class Renewals(msgspec.Struct, frozen=True, kw_only=True):
    """The instances that had a period paid, or were to."""

    under_way: str | None
    """Id of the one that goes on."""
    begun: bool
    """Whether there was one at all."""
    next_id: str
    """Of the one to start where none goes on."""


async def find_renewals(connection: Connection, first: str, attempts: int) -> Renewals:
    """Those of a period for which so many attempts were made, by the id of its first one."""
    ids = [first, *later_ids(first, attempts)]
    found = await InstanceStore(connection).going_on(StartRenewal.kind, ids)
    return Renewals(
        under_way=next((each for each, goes_on in found.items() if goes_on), None),
        begun=bool(found),
        next_id=next(each for each in ids if each not in found),
    )


def later_ids(first: str, attempts: int) -> list[str]:
    """Ids of the renewals that were started after the first one had ended, and of the next: none
    is started again before it has made or followed an attempt, but by hand."""
    return [f"{first}-again-{number}" for number in range(1, attempts + SPARE_IDS + 1)]


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
