"""python -m tests.benchmarks.parked.naps: a service whose workflows sleep between two steps."""

from __future__ import annotations

import sys
from datetime import datetime

from shared.messages.workflows import Trigger
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.process import main
from shared.workflow.context import WorkflowContext
from shared.workflow.registry import register
from shared.workflow.step import Step


class StartNap(Trigger, frozen=True, kw_only=True):
    """Starts an instance that sleeps until an instant."""

    kind = "nap"
    service = "bench"

    until: datetime


class NapWorkflow:
    """Parked between its two steps."""

    kind = "nap"

    async def run(self, ctx: WorkflowContext, start: StartNap) -> None:
        """A step, the sleep, a step."""
        await ctx.step("before", self.look)
        await ctx.sleep_until("nap", start.until)
        await ctx.step("after", self.look)

    async def look(self, step: Step) -> int:
        """One statement."""
        return int(await step.connection.fetchval("SELECT 1"))


def define(settings: ServiceSettings) -> ServiceDefinition:
    """The service."""
    return ServiceDefinition(StartNap.service, workflows=[register(StartNap, NapWorkflow())])


if __name__ == "__main__":
    sys.exit(main(ServiceSettings, define))
