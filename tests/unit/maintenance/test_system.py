"""The system's parts do not hinder each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from services.maintenance.workflows.system import SystemMaintenanceWorkflow
from shared.messages.maintenance import (
    AnalyticsProcessed,
    CachesInvalidated,
    DatabaseCleaned,
    HealthChecked,
    LogsRotated,
)
from shared.messages.workflows import StartSystem
from shared.testing.harness import Harness
from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError
from shared.workflow.registry import register

T = TypeVar("T")

PARTS = ["database_cleanup", "log_rotation", "cache_invalidation", "health_checks", "analytics"]


class Parts:
    """Parts that do nothing but fail where they are to."""

    def __init__(self, broken: str):
        self._broken = broken

    def part(self, name: str, result: T) -> Callable[[WorkflowContext], Awaitable[T]]:
        async def act(_call: Call) -> str:
            if name == self._broken:
                raise NonRetryableError("broken", f"{name} is broken")
            return name

        async def part(ctx: WorkflowContext) -> T:
            await ctx.call(name, act)
            return result

        return part


def upkeep(broken: str) -> SystemMaintenanceWorkflow:
    parts = Parts(broken)
    return SystemMaintenanceWorkflow(
        cleanup_database=parts.part("database_cleanup", DatabaseCleaned()),
        rotate_logs=parts.part("log_rotation", LogsRotated()),
        invalidate_cache=parts.part("cache_invalidation", CachesInvalidated()),
        perform_health_checks=parts.part("health_checks", HealthChecked()),
        process_analytics=parts.part("analytics", AnalyticsProcessed()),
    )


@pytest.mark.parametrize("broken", PARTS)
async def test_a_part_that_fails_is_told_of_and_the_others_still_run(broken: str) -> None:
    async with Harness.in_memory([register(StartSystem, upkeep(broken))]) as harness:
        run = await harness.start(StartSystem())
        assert run.status == "complete"
        assert {name: run.step(name).status for name in PARTS} == {
            name: "failed" if name == broken else "complete" for name in PARTS
        }
        [failure] = run.output.failures
        assert (failure.step, failure.name) == (broken, "broken")
        report = run.output
        found = {
            "database_cleanup": report.database_cleanup,
            "log_rotation": report.log_rotation,
            "cache_invalidation": report.cache_invalidation,
            "health_checks": report.health_checks,
            "analytics": report.analytics,
        }
        assert [name for name, result in found.items() if result is None] == [broken]
