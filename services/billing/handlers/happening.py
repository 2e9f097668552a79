"""Lets an event happen to a subscription, and tells whoever has to know."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.billing.handlers.finding import no_subscription
from services.billing.renewals import cleanup_of, go_on
from services.billing.saga.state import SagaEvent
from services.billing.transitions import Applied, SubscriptionNotFound, happen
from shared.messages.workflows import StartRenewal
from shared.runtime.handling import Work
from shared.workflow.records import OutboxMessage


async def happen_to(
    work: Work, subscription_id: UUID, event: SagaEvent, period_start: datetime | None = None
) -> Applied:
    """What the event made of the subscription; its renewal hears of it, and one that ended is
    cleaned up in 30 days.

    Raises IllegalEvent, and Refused `subscription_not_found`.
    """
    try:
        applied = await happen(
            work.connection,
            subscription_id,
            event,
            now=work.now,
            actor=work.actor,
            publish=work.publish,
            period_start=period_start,
        )
    except SubscriptionNotFound as error:
        raise no_subscription(subscription_id) from error
    tell_renewal(work, await go_on(work.connection, applied, work.now))
    if applied.canceled:
        work.start(cleanup_of(subscription_id, work.now))
    return applied


def tell_renewal(work: Work, told: OutboxMessage | StartRenewal | None) -> None:
    """Signals the renewal, or starts another one for what comes after its end."""
    if isinstance(told, StartRenewal):
        work.start(told)
    elif told is not None:
        work.send(told)
