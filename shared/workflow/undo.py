"""Carries out one compensation, as a step or call of the path of compensations."""

from __future__ import annotations

from shared.workflow.branch import Branch
from shared.workflow.calls import run_call
from shared.workflow.compensation import Compensation
from shared.workflow.execution import Execution
from shared.workflow.steps import run_step

OPERATION = "compensation"


async def run_compensation(
    execution: Execution, branch: Branch, compensation: Compensation
) -> None:
    """Undoes what the operation did, once. Raises StepFailed when it fails for good."""
    function = compensation.function

    async def body(attempt: object) -> None:
        await function(attempt, compensation.result)

    if compensation.operation == "call":
        await run_call(
            execution,
            branch,
            compensation.name,
            function=body,
            body=body,
            verify=None,
            options=compensation.options,
            operation=OPERATION,
        )
    else:
        await run_step(
            execution,
            branch,
            compensation.name,
            function=body,
            body=body,
            options=compensation.options,
            operation=OPERATION,
        )
