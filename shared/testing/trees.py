"""Workflows as values: a tree of operations, the workflow that carries it out, its outside world.

Whatever a tree does depends on the tree, on business time and on the outside world's own books
alone, so that all its runs must come to the same end, whatever happens to the processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec

from shared.messages.workflows import Trigger
from shared.testing.journeys import Approved
from shared.testing.samples import StepDone
from shared.workflow.call import NOT_FOUND, UNKNOWN, Call, NotFound, Unknown
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, NotSent, StepFailed
from shared.workflow.options import Retry
from shared.workflow.ports import Clock
from shared.workflow.step import SKIPPED, Skipped, Step

RETRY_DELAY = timedelta(seconds=10)
"""Between two attempts of a step: one that fails does so until enough of them have gone by."""

Mishap: TypeAlias = Literal["lost", "not_sent", "unheard"]
"""Of one sending: nothing arrives; nothing arrives and that is certain; no answer comes back."""


class _Node(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    name: str
    """Unique in its tree."""


class StepNode(_Node, frozen=True, kw_only=True):
    failures: int = 0
    """Attempts that fail."""
    attempts: int = 3
    skipped: bool = False
    undone: Literal["no", "yes", "badly"] = "no"
    """Whether it has a compensation, and whether that fails for good."""
    tolerated: bool = True


class CallNode(_Node, frozen=True, kw_only=True):
    verified: bool = True
    mishaps: tuple[Mishap, ...] = ()
    """Of the first sendings."""
    ending: Literal["done", "refused", "unsure"] = "done"
    """Of those after them; what is unsure is carried out, unheard of, and cannot be looked up."""
    deaf: int = 0
    """Look-ups that fail."""
    undone: bool = False
    tolerated: bool = True


class SleepNode(_Node, frozen=True, kw_only=True):
    seconds: int


class WaitNode(_Node, frozen=True, kw_only=True):
    timeout_seconds: int | None = None


class ForkNode(_Node, frozen=True, kw_only=True):
    branches: tuple[tuple[Node, ...], ...]
    settle: bool = False
    tolerated: bool = True


class ChildNode(_Node, frozen=True, kw_only=True):
    body: tuple[Node, ...]
    awaited: bool = True
    tolerated: bool = True


class FailNode(_Node, frozen=True, kw_only=True):
    """The workflow's own code raises."""


Node: TypeAlias = StepNode | CallNode | SleepNode | WaitNode | ForkNode | ChildNode | FailNode


class StartTree(Trigger, frozen=True, kw_only=True):
    kind = "tree"
    service = "sample"
    signals = (Approved,)

    body: tuple[Node, ...] = ()


class TreeOutside:
    """The outside world: it carries a call out once a key, and forgets nothing."""

    def __init__(self) -> None:
        self.carried_out: set[str] = set()
        self.undone: set[str] = set()
        self.repeated: set[str] = set()
        """Sent again though it had been carried out and could be looked up."""
        self._sent: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()

    async def carry_out(self, call: Call, node: CallNode) -> str:
        """Does it, unless a mishap or a refusal is due."""
        key = call.idempotency_key
        number = self._sent[key]
        self._sent[key] += 1
        mishap = node.mishaps[number] if number < len(node.mishaps) else node.ending
        if mishap == "lost":
            raise ConnectionError("lost on its way")
        if mishap == "not_sent":
            raise NotSent("there is no way")
        if key in self.carried_out and node.verified:
            self.repeated.add(key)
        if mishap == "refused" and key not in self.carried_out:
            raise NonRetryableError("refused", "it will not be done")
        self.carried_out.add(key)
        if mishap in {"unheard", "unsure"}:
            raise ConnectionError("no answer")
        return f"{node.name} is done"

    async def look_up(self, call: Call, node: CallNode) -> str | NotFound | Unknown:
        """What became of it, once the look-ups that fail are through."""
        key = call.idempotency_key
        self._asked[key] += 1
        if self._asked[key] <= node.deaf:
            raise ConnectionError("no answer to a look-up")
        if node.ending == "unsure":
            return UNKNOWN
        return f"{node.name} is done" if key in self.carried_out else NOT_FOUND

    async def undo(self, call: Call, result: str | None) -> None:  # noqa: ARG002 - others tell it
        """Takes it back."""
        self.undone.add(call.idempotency_key)


class TreeWorkflow:
    """Carries out the tree that its start brings; the output tells how each node ended."""

    kind = "tree"

    def __init__(self, outside: TreeOutside, clock: Clock) -> None:
        self._outside = outside
        self._clock = clock

    async def run(self, ctx: WorkflowContext, start: StartTree) -> list[Any]:
        return await self._walk(start.body, ctx)

    async def _walk(self, nodes: tuple[Node, ...], ctx: WorkflowContext) -> list[Any]:
        told: list[Any] = []
        for node in nodes:
            try:
                told.append(await self._do(ctx, node))
            except StepFailed as failure:
                if isinstance(node, SleepNode | FailNode) or not (
                    isinstance(node, WaitNode) or node.tolerated
                ):
                    raise
                told.append(f"{node.name}: {failure.name}")
        told.append(f"{ctx.now.isoformat()} {ctx.random.randrange(1000)} {ctx.uuid4()}")
        return told

    async def _do(self, ctx: WorkflowContext, node: Node) -> Any:
        match node:
            case StepNode():
                return await self._step(ctx, node)
            case CallNode():
                return await self._call(ctx, node)
            case SleepNode():
                return await ctx.sleep(node.name, timedelta(seconds=node.seconds))
            case WaitNode():
                return await self._wait(ctx, node)
            case ForkNode():
                return await self._fork(ctx, node)
            case ChildNode():
                return await self._child(ctx, node)
            case FailNode():
                raise NonRetryableError("told_to", f"{node.name} was told to fail")

    async def _step(self, ctx: WorkflowContext, node: StepNode) -> str:
        compensations = {"no": None, "yes": self._undo, "badly": self._undo_badly}
        retry = Retry(max_attempts=node.attempts, delay=RETRY_DELAY, backoff="constant")
        result = await ctx.options(retry=retry).step(
            node.name, self._act, node, compensate=compensations[node.undone]
        )
        return "skipped" if result is SKIPPED else str(result)

    async def _act(self, step: Step, node: StepNode) -> str | Skipped:
        if node.skipped:
            return SKIPPED
        await _leave_row(step, node.name)
        if self._clock.now() - step.now < node.failures * RETRY_DELAY:
            raise RuntimeError(f"{node.name} fails for {node.failures} attempts")
        return node.name

    async def _undo(self, step: Step, name: str | Skipped) -> None:
        await _leave_row(step, f"undo {name}")

    async def _undo_badly(self, step: Step, name: str | Skipped) -> None:
        raise NonRetryableError("stuck", f"{name} cannot be undone at {step.now}")

    async def _call(self, ctx: WorkflowContext, node: CallNode) -> str:
        outside = self._outside
        # No delay: whether a mishap is heard of depends on the process, and must cost no time.
        retry = Retry(max_attempts=30, delay=timedelta())
        return await ctx.options(retry=retry).call(
            node.name,
            outside.carry_out,
            node,
            verify=outside.look_up if node.verified else None,
            compensate=outside.undo if node.undone else None,
        )

    async def _wait(self, ctx: WorkflowContext, node: WaitNode) -> str:
        seconds = node.timeout_seconds
        timeout = None if seconds is None else timedelta(seconds=seconds)
        return (await ctx.wait_for_signal(node.name, Approved, timeout)).by

    async def _fork(self, ctx: WorkflowContext, node: ForkNode) -> list[Any]:
        paths: list[Callable[[WorkflowContext], Awaitable[Any]]] = [
            partial(self._walk, branch) for branch in node.branches
        ]
        try:
            if not node.settle:
                return list(await ctx.parallel(*paths))
        except NonRetryableError as error:
            raise StepFailed(node.name, error.code, str(error)) from error
        return [
            f"failed: {result}" if isinstance(result, Exception) else result
            for result in await ctx.settle(*paths)
        ]

    async def _child(self, ctx: WorkflowContext, node: ChildNode) -> Any:
        child = await ctx.start_child(node.name, StartTree(body=node.body))
        return await child.result(list[Any]) if node.awaited else child.id


async def _leave_row(step: Step, name: str) -> None:
    await step.connection.execute(
        "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)", step.workflow_id, name
    )
    step.publish(StepDone(step=name))
