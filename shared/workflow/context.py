"""What a workflow's `run` works with: steps, sleeps, and values that replays repeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import msgspec

from shared.workflow.branch import Branch
from shared.workflow.execution import Execution
from shared.workflow.options import Options, Retry
from shared.workflow.sleeps import run_sleep
from shared.workflow.step import Step
from shared.workflow.steps import run_step

P = ParamSpec("P")
T = TypeVar("T")


class WorkflowContext:
    """A run's way to act. Whatever it does is journaled, so a replay returns the same."""

    def __init__(self, execution: Execution, branch: Branch, options: Options):
        self._execution = execution
        self._branch = branch
        self._options = options

    @property
    def workflow_id(self) -> str:
        """Id of the instance."""
        return self._execution.instance.key.id

    @property
    def now(self) -> datetime:
        """Business instant of the last operation, or of the first claim; it advances with them."""
        self._execution.check_alive()
        return self._branch.now

    @property
    def random(self) -> Random:
        """A stream seeded by the instance and its run."""
        self._execution.check_alive()
        return self._branch.random

    def uuid4(self) -> UUID:
        """A random UUID from the instance's own stream."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def options(
        self, *, retry: Retry | None = None, timeout: timedelta | None = None
    ) -> WorkflowContext:
        """The same context with other options for the operations called on it.

        `timeout` bounds each attempt of a step's body in machine time.
        """
        given: dict[str, Any] = {"retry": retry, "timeout": timeout}
        changed = {name: value for name, value in given.items() if value is not None}
        return WorkflowContext(
            self._execution, self._branch, msgspec.structs.replace(self._options, **changed)
        )

    async def step(
        self,
        name: str,
        function: Callable[Concatenate[Step, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Runs `function` in a transaction, exactly once.

        Its result is journaled in the same transaction and returned from there on a replay.
        Raises StepFailed when its attempts are used up or it raised NonRetryableError.
        """

        async def body(step: Step) -> T:
            return await function(step, *args, **kwargs)

        result: T = await run_step(
            self._execution,
            self._branch,
            name,
            function=function,
            body=body,
            options=self._options,
        )
        return result

    async def sleep(self, name: str, duration: timedelta) -> None:
        """Sleeps for `duration` of business time, holding no worker and no connection."""
        await run_sleep(self._execution, self._branch, name, None, duration)

    async def sleep_until(self, name: str, at: datetime) -> None:
        """Sleeps until `at` (with a UTC offset); an instant in the past is no sleep at all."""
        await run_sleep(self._execution, self._branch, name, at, timedelta())
