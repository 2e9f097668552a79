"""What a workflow's `run` works with: its operations, and values that replays repeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, TypeAlias, TypeVar, TypeVarTuple, Unpack, overload
from uuid import UUID

import msgspec

from shared.messages.workflows import Signal, Trigger
from shared.workflow.branch import Branch
from shared.workflow.call import Call, NotFound, Unknown
from shared.workflow.calls import run_call
from shared.workflow.children import Child, run_start_child
from shared.workflow.execution import Execution
from shared.workflow.options import Options, Retry
from shared.workflow.parallel import run_branches
from shared.workflow.patches import run_patched
from shared.workflow.signals import run_wait
from shared.workflow.sleeps import run_sleep
from shared.workflow.step import Step
from shared.workflow.steps import run_step

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
S = TypeVar("S", bound=Signal)

Path: TypeAlias = "Callable[[WorkflowContext], Awaitable[T]]"
"""The code of a branch, given its own context."""


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
        self._execution.check_alive(self._branch)
        return self._branch.now

    @property
    def random(self) -> Random:
        """A stream seeded by the instance, its run and the path."""
        self._execution.check_alive(self._branch)
        return self._branch.random

    def uuid4(self) -> UUID:
        """A random UUID from the path's own stream."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def patched(self, name: str) -> bool:
        """Whether code changed under this name applies to the run: True for runs that come to it
        first, False for those that were further already (rule 22)."""
        return run_patched(self._execution, self._branch, name)

    def options(
        self, *, retry: Retry | None = None, timeout: timedelta | None = None
    ) -> WorkflowContext:
        """The same context with other options for the operations called on it.

        `timeout` bounds each attempt of a step's body or a call in machine time.
        """
        given: dict[str, Any] = {"retry": retry, "timeout": timeout}
        changed = {name: value for name, value in given.items() if value is not None}
        return WorkflowContext(
            self._execution, self._branch, msgspec.structs.replace(self._options, **changed)
        )

    async def step(
        self,
        name: str,
        function: Callable[[Step, Unpack[Ts]], Awaitable[T]],
        *args: *Ts,
        compensate: Callable[[Step, T], Awaitable[object]] | None = None,
    ) -> T:
        """Runs `function` in a transaction, exactly once.

        Its result is journaled in the same transaction and returned from there on a replay.
        `compensate`, a step too, is given that result when the instance fails for good later.
        Raises StepFailed when its attempts are used up or it raised NonRetryableError.
        """

        async def body(step: Step) -> T:
            return await function(step, *args)

        result: T = await run_step(
            self._execution,
            self._branch,
            name,
            function=function,
            body=body,
            options=self._options,
            compensate=compensate,
        )
        return result

    async def call(
        self,
        name: str,
        function: Callable[[Call, Unpack[Ts]], Awaitable[T]],
        *args: *Ts,
        verify: Callable[[Call, Unpack[Ts]], Awaitable[T | NotFound | Unknown]] | None = None,
        compensate: Callable[[Call, T | None], Awaitable[object]] | None = None,
    ) -> T:
        """Reaches the outside world with no transaction open; at least once, under one key.

        An attempt whose outcome is unknown is made again under the same idempotency key; with
        `verify` it is looked up first, and never blindly repeated. `compensate`, a call too, is
        given the result, or None where the outcome is unknown. Raises StepFailed when it certainly
        had no effect: it raised NonRetryableError, or `verify` has found none. Raises
        OutcomeUnknown when nobody can tell: `verify` could not, or there is none and the attempts
        are used up.
        """

        async def body(call: Call) -> T:
            return await function(call, *args)

        result: T = await run_call(
            self._execution,
            self._branch,
            name,
            function=function,
            body=body,
            verify=None if verify is None else partial(_apply, verify, args),
            options=self._options,
            compensate=compensate,
        )
        return result

    async def sleep(self, name: str, duration: timedelta) -> None:
        """Sleeps for `duration` of business time, holding no worker and no connection."""
        await run_sleep(self._execution, self._branch, name, None, duration)

    async def sleep_until(self, name: str, at: datetime) -> None:
        """Sleeps until `at` (with a UTC offset); an instant in the past is no sleep at all."""
        await run_sleep(self._execution, self._branch, name, at, timedelta())

    async def wait_for_signal(
        self, name: str, signal: type[S], timeout: timedelta | None = None
    ) -> S:
        """The first signal of its type that no earlier wait has taken, first in, first out.

        It waits for `timeout` of business time, for ever where there is none. Raises SignalTimeout.
        """
        return await run_wait(self._execution, self._branch, name, signal, timeout)

    async def start_child(self, name: str, trigger: Trigger) -> Child:
        """Starts another instance of this service, once; its `result` may be awaited.

        Without an id of its own the child gets one that is derived from this run and place.
        """
        return await run_start_child(self._execution, self._branch, name, trigger)

    @overload
    async def parallel(self, a: Path[A], b: Path[B], /) -> tuple[A, B]: ...
    @overload
    async def parallel(self, a: Path[A], b: Path[B], c: Path[C], /) -> tuple[A, B, C]: ...
    @overload
    async def parallel(self, *paths: Path[T]) -> tuple[T, ...]: ...
    async def parallel(self, *paths: Path[Any]) -> tuple[Any, ...]:
        """Runs branches side by side and returns all results, in order.

        Each is given a context of its own. When one fails, the others begin nothing more, what is
        under way is let finish, and the first failure is raised.
        """
        return tuple(await self._run_branches(paths, fail_fast=True))

    @overload
    async def settle(self, a: Path[A], b: Path[B], /) -> tuple[A | Exception, B | Exception]: ...
    @overload
    async def settle(
        self, a: Path[A], b: Path[B], c: Path[C], /
    ) -> tuple[A | Exception, B | Exception, C | Exception]: ...
    @overload
    async def settle(self, *paths: Path[T]) -> tuple[T | Exception, ...]: ...
    async def settle(self, *paths: Path[Any]) -> tuple[Any, ...]:
        """Runs branches side by side to the end of each; failures are among the results."""
        return tuple(await self._run_branches(paths, fail_fast=False))

    async def _run_branches(self, paths: tuple[Path[Any], ...], *, fail_fast: bool) -> list[Any]:
        return await run_branches(
            self._execution,
            self._branch,
            [partial(self._run_branch, path) for path in paths],
            fail_fast=fail_fast,
        )

    async def _run_branch(self, path: Path[Any], branch: Branch) -> Any:
        return await path(WorkflowContext(self._execution, branch, self._options))


async def _apply(function: Callable[..., Awaitable[T]], args: tuple[Any, ...], call: Call) -> T:
    return await function(call, *args)
