"""Steps and calls that fail as often as a test says, whatever the workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from shared.messages.workflows import Trigger
from shared.workflow.branch import Branch
from shared.workflow.call import Call, NotFound, Unknown
from shared.workflow.context import Path, WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.registry import Registration
from shared.workflow.step import Step

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Awaitable[Any]]")


class Failures:
    """What is still to fail, by the name of the operation."""

    def __init__(self) -> None:
        self._left: dict[str, list[Exception]] = {}

    def add(self, name: str, error: Exception, times: int) -> None:
        """Has the next attempts raise the error before they do anything."""
        self._left.setdefault(name, []).extend([error] * times)

    def before(self, name: str, function: F) -> F:
        """The function, preceded by the failures of that name."""

        @wraps(function)
        async def failing(*args: Any) -> Any:
            if self._left.get(name):
                raise self._left[name].pop(0)
            return await function(*args)

        return cast("F", failing)

    def into(self, registration: Registration) -> Registration:
        """The registration, with a workflow whose operations fail."""
        return Registration(registration.trigger, _FailingWorkflow(registration, self))


class _FailingWorkflow:
    def __init__(self, registration: Registration, failures: Failures):
        self.kind = registration.kind
        self._workflow = registration.workflow
        self._failures = failures

    async def run(self, ctx: WorkflowContext, start: Trigger) -> object:
        return await self._workflow.run(_FailingContext.around(ctx, self._failures), start)


class _FailingContext(WorkflowContext):
    _failures: Failures

    @classmethod
    def around(cls, ctx: WorkflowContext, failures: Failures) -> _FailingContext:
        context = cls(ctx._execution, ctx._branch, ctx._options)  # noqa: SLF001 - of its own base
        context._failures = failures
        return context

    def options(
        self, *, retry: Retry | None = None, timeout: timedelta | None = None
    ) -> WorkflowContext:
        return self.around(super().options(retry=retry, timeout=timeout), self._failures)

    async def step(
        self,
        name: str,
        function: Callable[[Step, Unpack[Ts]], Awaitable[T]],
        *args: *Ts,
        compensate: Callable[[Step, T], Awaitable[object]] | None = None,
    ) -> T:
        function = self._failures.before(name, function)
        if compensate is not None:
            compensate = self._failures.before(undoing(name), compensate)
        return await super().step(name, function, *args, compensate=compensate)

    async def call(
        self,
        name: str,
        function: Callable[[Call, Unpack[Ts]], Awaitable[T]],
        *args: *Ts,
        verify: Callable[[Call, Unpack[Ts]], Awaitable[T | NotFound | Unknown]] | None = None,
        compensate: Callable[[Call, T | None], Awaitable[object]] | None = None,
    ) -> T:
        function = self._failures.before(name, function)
        if compensate is not None:
            compensate = self._failures.before(undoing(name), compensate)
        return await super().call(name, function, *args, verify=verify, compensate=compensate)

    async def _run_branch(self, path: Path[Any], branch: Branch) -> Any:
        async def failing(context: WorkflowContext) -> Any:
            return await path(self.around(context, self._failures))

        return await super()._run_branch(failing, branch)


def undoing(name: str) -> str:
    """How the failures of a compensation are named."""
    return f"undo {name}"
