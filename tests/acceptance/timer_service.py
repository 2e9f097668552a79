"""python -m tests.acceptance.timer_service: a service whose workflows sleep and tell when they
woke; TIMERS says which of two services it is."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta

from shared.messages.workflows import Trigger
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.process import main
from shared.workflow.context import WorkflowContext
from shared.workflow.crons import Cron
from shared.workflow.options import Retry
from shared.workflow.registry import register
from shared.workflow.step import Step

TIMERS_SQL = """
CREATE TABLE firings (
    workflow_id text NOT NULL, name text NOT NULL, instant timestamptz NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE gates (name text PRIMARY KEY);
"""
SEGMENT_SECONDS = 0.1
"""Longer than a segment may last."""


class StartTimer(Trigger, frozen=True, kw_only=True):
    hours: tuple[int, ...] = ()
    """Slept one after another."""
    fail_hours: int | None = None
    """After the sleeps a step fails once, and is tried again so much later."""
    gate: str | None = None
    """After all that a step lasts until the gate of this name is open."""


class StartNorth(StartTimer, frozen=True, kw_only=True):
    kind = "north_timer"
    service = "north"


class StartSouth(StartTimer, frozen=True, kw_only=True):
    kind = "south_timer"
    service = "south"


SUNDAYS = Cron("order-sundays", StartSouth(), "0 12 * * 0")
"""Nothing sleeps in these instances: they tell when they were started."""


class TimerWorkflow:
    """Each step leaves a row with the business instant at which it ran."""

    def __init__(self, kind: str):
        self.kind = kind
        self._failed: set[str] = set()

    async def run(self, ctx: WorkflowContext, start: StartTimer) -> None:
        """Sleeps, a failure and a gate, as far as the trigger asks for them."""
        await ctx.step("begun", self.fire, "begun")
        for hours in start.hours:
            await ctx.sleep(f"sleep_{hours}", timedelta(hours=hours))
            await ctx.step(f"after_{hours}", self.fire, f"after_{hours}")
        if start.fail_hours is not None:
            delay = timedelta(hours=start.fail_hours)
            retry = Retry(max_attempts=2, delay=delay, max_delay=delay, jitter=0)
            await ctx.options(retry=retry).step("failing", self.fail_once)
            await ctx.step("recovered", self.fire, "recovered")
        if start.gate is not None:
            await ctx.step("slow", self.outlast_the_segment)
            await ctx.step("gated", self.wait_for_gate, start.gate)

    async def fire(self, step: Step, name: str) -> None:
        """Leaves the row."""
        await step.connection.execute(
            "INSERT INTO firings (workflow_id, name, instant) VALUES ($1, $2, $3)",
            step.workflow_id,
            name,
            step.now,
        )

    async def fail_once(self, step: Step) -> None:
        """Fails at its first attempt."""
        if step.workflow_id not in self._failed:
            self._failed.add(step.workflow_id)
            raise RuntimeError("asked for")

    async def outlast_the_segment(self, step: Step) -> None:
        """So that the step after it runs under a lease."""
        await asyncio.sleep(SEGMENT_SECONDS)

    async def wait_for_gate(self, step: Step, gate: str) -> None:
        """A worker long at work."""
        is_open = False
        while not is_open:
            await asyncio.sleep(0.01)
            is_open = await step.connection.fetchval(
                "SELECT count(*) > 0 FROM gates WHERE name = $1", gate
            )
        await self.fire(step, "gated")


class TimerSettings(ServiceSettings, frozen=True, kw_only=True):
    timers: Annotated[Literal["north", "south"], Meta(description="north or south")]


def define(settings: TimerSettings) -> ServiceDefinition:
    """The service that the settings name."""
    trigger = StartNorth if settings.timers == "north" else StartSouth
    return ServiceDefinition(
        settings.timers,
        workflows=[register(trigger, TimerWorkflow(trigger.kind))],
        crons=[SUNDAYS] if trigger is StartSouth else [],
        crons_revision=1 if trigger is StartSouth else 0,
    )


if __name__ == "__main__":
    sys.exit(main(TimerSettings, define))
