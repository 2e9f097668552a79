"""Who collects an unpaid period's money: its renewal, or one that was started after that ended."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.billing.renewals import later_ids, renewal_id
from services.billing.store.instances import InstanceStore
from shared.messages.workflows import RenewalChanged, StartRenewal
from shared.workflow.step import Step


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """The renewals of a period that is not paid."""

    subscription_id: UUID
    period_start: datetime
    under_way: str | None
    """Id of the one that goes on."""
    begun: bool
    """Whether there was one at all."""
    next_id: str
    """Of the one to start where none goes on."""

    @property
    def stopped(self) -> bool:
        """Whether it ended although the period is not paid: it failed, or somebody ended it."""
        return self.begun and self.under_way is None

    def go_on(self, step: Step) -> str:
        """Has the renewal look again, or starts one; its id."""
        if self.under_way is not None:
            step.signal(StartRenewal.kind, self.under_way, RenewalChanged())
            return self.under_way
        step.start(
            StartRenewal(
                id=self.next_id,
                subscription_id=self.subscription_id,
                period_start=self.period_start,
            )
        )
        return self.next_id


async def find_collector(
    step: Step, subscription_id: UUID, period_start: datetime, attempts: int
) -> Collector:
    """The renewals of a period for which so many attempts were made."""
    first = renewal_id(subscription_id, period_start)
    later = later_ids(first, attempts)
    found = await InstanceStore(step.connection).going_on(StartRenewal.kind, [first, *later])
    return Collector(
        subscription_id=subscription_id,
        period_start=period_start,
        under_way=next((each for each, goes_on in found.items() if goes_on), None),
        begun=bool(found),
        next_id=next(each for each in (first, *later) if each not in found),
    )
