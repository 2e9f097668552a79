"""Workflows for the engine's own tests: every effect is a row of a table outside the engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from shared.messages.events import Event
from shared.messages.workflows import Trigger
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, StepFailed
from shared.workflow.options import Retry
from shared.workflow.step import SKIPPED, Skipped, Step

EFFECTS_SQL = """
CREATE TABLE effects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, workflow_id text, step text
);
CREATE TABLE counters (name integer PRIMARY KEY, value bigint NOT NULL DEFAULT 0);
INSERT INTO counters (name) SELECT generate_series(0, 999);
"""


class StepDone(Event, frozen=True, kw_only=True):
    name = "step_done"

    step: str


class StartSample(Trigger, frozen=True, kw_only=True):
    kind = "sample"
    service = "sample"

    steps: int = 5
    sleep_seconds: float = 0
    """Slept after the second step."""
    fail_step: int | None = None
    failures: int = 0
    """How many attempts of that step fail; the store of failures is the test's."""
    final: bool = False
    """Fail with NonRetryableError."""
    tolerate: bool = False
    """Catch the failed step and go on."""
    skip_step: int | None = None


class Done(msgspec.Struct):
    steps: list[str]
    now: str


class SampleWorkflow:
    """Steps that each leave one row; what may go wrong on the way is the trigger's to say."""

    kind = "sample"

    def __init__(self, before_step: Callable[[str, str], None] | None = None):
        self._failed: dict[str, int] = {}
        self._before_step = before_step

    async def run(self, ctx: WorkflowContext, start: StartSample) -> Done:
        """The steps in order, with the sleep after the second."""
        retrying = ctx.options(retry=Retry(max_attempts=3, delay=timedelta(seconds=10)))
        done: list[str] = []
        for number in range(start.steps):
            try:
                if await retrying.step(f"step_{number}", self.leave_row, number, start) is SKIPPED:
                    continue
            except StepFailed:
                if not start.tolerate:
                    raise
            else:
                done.append(f"step_{number}")
            if number == 1 and start.sleep_seconds:
                await ctx.sleep("rest", timedelta(seconds=start.sleep_seconds))
        return Done(done, ctx.now.isoformat())

    async def leave_row(self, step: Step, number: int, start: StartSample) -> str | Skipped:
        """Appends to the effect log and publishes a fact."""
        if self._before_step is not None:
            self._before_step(step.workflow_id, f"step_{number}")
        if number == start.skip_step:
            return SKIPPED
        await step.connection.execute(
            "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)",
            step.workflow_id,
            f"step_{number}",
        )
        step.publish(StepDone(step=f"step_{number}"))
        if number == start.fail_step:
            count = self._failed.get(step.workflow_id, 0)
            if count < start.failures:
                self._failed[step.workflow_id] = count + 1
                if start.final:
                    raise NonRetryableError("asked_for", "this step was told to fail")
                raise RuntimeError(f"failure {count + 1} of {start.failures}")
        return f"step_{number}"
