"""Applies the retention policies, at each table's owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeAlias, TypeVar

import msgspec

from services.maintenance.owners import Owners
from services.maintenance.store.retention import RetentionStore
from shared.messages.maintenance.report import DatabaseCleaned, PolicyApplied
from shared.messages.maintenance.retention import RetentionPolicy
from shared.messages.problems import Refused
from shared.messages.retention import ApplyRetention, RetentionApplied, Vacuum, Vacuumed
from shared.messages.workflows import ErrorInfo
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.options import Retry
from shared.workflow.ports import Connection
from shared.workflow.step import Step

T = TypeVar("T")

ClosedUntil: TypeAlias = "Callable[[Connection], Awaitable[datetime | None]]"
"""Up to when analytics are closed; None where they never ran."""

POLICY_SECONDS = 60.0
"""Machine time for one policy in one run; the next run goes on."""
REQUEST_SECONDS = 5.0
VACUUM_SECONDS = 300.0
RETRY = Retry(max_attempts=3, delay=timedelta(seconds=2))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run applies."""

    policies: tuple[RetentionPolicy, ...]
    closed_until: datetime | None


class DatabaseCleanup:
    """Asks each owner to delete what it has kept long enough, and to vacuum."""

    def __init__(self, owners: Owners, closed_until: ClosedUntil) -> None:
        self._owners = owners
        self._closed_until = closed_until

    async def __call__(self, ctx: WorkflowContext) -> DatabaseCleaned:
        """See Part. An owner that fails hinders no other policy, and is told of."""
        plan = await ctx.step("retention_policies", self.plan)
        calls = ctx.options(retry=RETRY, timeout=timedelta(seconds=2 * POLICY_SECONDS))
        applied: list[PolicyApplied] = []
        failures: list[ErrorInfo] = []
        for policy in plan.policies:
            if policy.gated and plan.closed_until is None:
                continue
            try:
                applied.append(await self._apply(ctx, calls, policy, plan.closed_until))
            except StepFailed as failed:
                failures.append(_told(failed))
        vacuums = ctx.options(retry=RETRY, timeout=timedelta(seconds=VACUUM_SECONDS + 30))
        for owner in dict.fromkeys(policy.owner for policy in plan.policies):
            try:
                await vacuums.call(f"vacuum_{owner}", self.vacuum, owner)
            except StepFailed as failed:
                failures.append(_told(failed))
        return DatabaseCleaned(policies=tuple(applied), failures=tuple(failures))

    async def _apply(
        self,
        ctx: WorkflowContext,
        calls: WorkflowContext,
        policy: RetentionPolicy,
        closed_until: datetime | None,
    ) -> PolicyApplied:
        name = f"{policy.owner}_{policy.name}"
        not_after = closed_until if policy.gated else None
        applied = await calls.call(f"retention_{name}", self.apply, policy, not_after)
        await ctx.step(f"applied_{name}", self.keep, policy, applied)
        return PolicyApplied(
            owner=policy.owner, name=policy.name, deleted=applied.deleted, done=applied.done
        )

    async def plan(self, step: Step) -> Plan:
        """The policies in force, and how far analytics have come."""
        policies = await RetentionStore(step.connection).policies()
        return Plan(
            policies=tuple(each for each in policies if each.enabled),
            closed_until=await self._closed_until(step.connection),
        )

    async def apply(
        self, _call: Call, policy: RetentionPolicy, not_after: datetime | None
    ) -> RetentionApplied:
        """Asks until nothing is left, or the time for one policy is used up."""
        ends = monotonic() + POLICY_SECONDS
        asked = ApplyRetention(
            name=policy.name, keep_seconds=policy.keep_seconds, not_after=not_after
        )
        deleted = 0
        while True:
            answer = await _asking(
                self._owners.command(
                    policy.owner,
                    "apply_retention",
                    asked,
                    RetentionApplied,
                    timeout_seconds=REQUEST_SECONDS + asked.budget_seconds,
                )
            )
            deleted += answer.deleted
            if answer.done or monotonic() > ends:
                return msgspec.structs.replace(answer, deleted=deleted)

    async def keep(self, step: Step, policy: RetentionPolicy, applied: RetentionApplied) -> None:
        """Keeps what came of it, for whoever reads the policy."""
        store = RetentionStore(step.connection)
        await store.applied(policy.owner, policy.name, step.now, applied.overdue_since)

    async def vacuum(self, _call: Call, owner: str) -> Vacuumed:
        """Has an owner give room back."""
        return await _asking(
            self._owners.command(
                owner, "vacuum", Vacuum(), Vacuumed, timeout_seconds=VACUUM_SECONDS
            )
        )


async def _asking(asking: Awaitable[T]) -> T:
    """What is refused would be so again; who does not answer is asked again."""
    try:
        return await asking
    except Refused as refused:
        raise NonRetryableError(refused.code, refused.detail) from refused


def _told(failed: StepFailed) -> ErrorInfo:
    return ErrorInfo(name=failed.name, message=failed.message, step=failed.step)
