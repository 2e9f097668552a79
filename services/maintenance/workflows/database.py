"""Applies the retention policies, at each table's owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TypeAlias, TypeVar

import msgspec

from services.maintenance.owners import Owners
from services.maintenance.store.retention import RetentionStore
from shared.jetstream.requests import Unavailable
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

NOTHING_CLOSED = datetime(1970, 1, 1, tzinfo=UTC)
"""Asked for up to then, an owner deletes nothing and tells what is overdue."""
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
        """See Part. A policy that fails hinders no other; an owner that does not answer is asked
        for nothing more by this run."""
        plan = await ctx.step("retention_policies", self.plan)
        applied: list[PolicyApplied] = []
        failures: list[StepFailed] = []
        silent: set[str] = set()
        for policy in plan.policies:
            if policy.owner not in silent:
                try:
                    applied.append(await self._apply(ctx, policy, plan.closed_until))
                    continue
                except StepFailed as failed:
                    failures.append(failed)
                    if failed.name == Unavailable.__name__:
                        silent.add(policy.owner)
            await ctx.step(f"left_{policy.owner}_{policy.name}", self.leave, policy)
        skipped: list[str] = []
        for owner in dict.fromkeys(policy.owner for policy in plan.policies):
            if owner not in silent:
                try:
                    skipped += await self._vacuum(ctx, owner)
                except StepFailed as failed:
                    failures.append(failed)
        return DatabaseCleaned(
            policies=tuple(applied),
            skipped_tables=tuple(skipped),
            failures=tuple(
                ErrorInfo(name=each.name, message=each.message, step=each.step) for each in failures
            ),
        )

    async def _apply(
        self, ctx: WorkflowContext, policy: RetentionPolicy, closed_until: datetime | None
    ) -> PolicyApplied:
        name = f"{policy.owner}_{policy.name}"
        not_after = (closed_until or NOTHING_CLOSED) if policy.gated else None
        calls = ctx.options(retry=RETRY, timeout=timedelta(seconds=2 * POLICY_SECONDS))
        applied = await calls.call(f"retention_{name}", self.apply, policy, not_after)
        await ctx.step(f"applied_{name}", self.keep, policy, applied)
        return PolicyApplied(
            owner=policy.owner,
            name=policy.name,
            deleted=applied.deleted,
            done=applied.done,
            overdue_since=applied.overdue_since,
        )

    async def _vacuum(self, ctx: WorkflowContext, owner: str) -> list[str]:
        """Tables of the owner that somebody held, with its name."""
        calls = ctx.options(retry=RETRY, timeout=timedelta(seconds=VACUUM_SECONDS + 30))
        vacuumed = await calls.call(f"vacuum_{owner}", self.vacuum, owner)
        return [f"{owner}.{table}" for table in vacuumed.skipped]

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

    async def leave(self, step: Step, policy: RetentionPolicy) -> None:
        """Keeps that it was not applied."""
        await RetentionStore(step.connection).left(policy.owner, policy.name, step.now)

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
