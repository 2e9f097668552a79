"""Who collects an unpaid period's money: its renewal, or one that was started after that ended."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.billing.renewals import Renewals, find_renewals, renewal_id
from shared.messages.workflows import RenewalChanged, StartRenewal
from shared.workflow.step import Step


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """The renewals of a period that is not paid."""

    subscription_id: UUID
    period_start: datetime
    renewals: Renewals

    @property
    def under_way(self) -> str | None:
        """Id of the one that goes on."""
        return self.renewals.under_way

    @property
    def stopped(self) -> bool:
        """Whether it ended although the period is not paid: it failed, or somebody ended it."""
        return self.renewals.begun and self.under_way is None

    def go_on(self, step: Step) -> str:
        """Has the renewal look again, or starts one; its id."""
        if self.under_way is not None:
            step.signal(StartRenewal.kind, self.under_way, RenewalChanged())
            return self.under_way
        step.start(
            StartRenewal(
                id=self.renewals.next_id,
                subscription_id=self.subscription_id,
                period_start=self.period_start,
            )
        )
        return self.renewals.next_id


async def find_collector(
    step: Step, subscription_id: UUID, period_start: datetime, attempts: int
) -> Collector:
    """The renewals of a period for which so many attempts were made."""
    first = renewal_id(subscription_id, period_start)
    return Collector(
        subscription_id=subscription_id,
        period_start=period_start,
        renewals=await find_renewals(step.connection, first, attempts),
    )
