"""A workflow that does everything the engine has, and the outside world that it calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Literal

import msgspec

from shared.messages.workflows import Signal, Trigger
from shared.testing.samples import StepDone
from shared.workflow.call import NOT_FOUND, UNKNOWN, Call, NotFound, Unknown
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import NonRetryableError, SignalTimeout
from shared.workflow.options import Retry
from shared.workflow.step import Step


class Approved(Signal, frozen=True, kw_only=True):
    type = "approved"

    by: str = "nobody"


class StartJourney(Trigger, frozen=True, kw_only=True):
    kind = "journey"
    service = "sample"
    signals = (Approved,)

    sleep_seconds: float = 3600
    signal_timeout_seconds: float | None = None
    with_child: bool = True
    fails: bool = False
    """Whether the last step fails for good, after everything else has been done."""


class StartErrand(Trigger, frozen=True, kw_only=True):
    kind = "errand"
    service = "sample"

    fails: bool = False


class JourneyReport(msgspec.Struct):
    ticket: str
    branches: list[str]
    approved_by: str
    errand: str


class Outside:
    """The world beyond the engine: it keeps its own books, by idempotency key."""

    def __init__(self) -> None:
        self.carried_out: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        """Asked for again though it had been carried out."""
        self.undone: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        """Look-ups."""
        self.before: Callable[[Call], Awaitable[None]] | None = None
        """What happens before a call is carried out: it may hang, or raise."""
        self.after: Callable[[Call], Awaitable[None]] | None = None
        """What happens before its answer is heard."""
        self.answers: Literal["truth", "unknown"] = "truth"

    async def carry_out(self, call: Call, what: str) -> str:
        """Does it once a key, however often it is asked."""
        if self.before is not None:
            await self.before(call)
        done = self.carried_out[call.idempotency_key] > 0
        (self.repeated if done else self.carried_out)[call.idempotency_key] += 1
        if self.after is not None:
            await self.after(call)
        return f"{what} for {call.workflow_id}"

    async def look_up(self, call: Call, what: str) -> str | NotFound | Unknown:
        """What became of a call."""
        self.asked[call.idempotency_key] += 1
        if self.answers == "unknown":
            return UNKNOWN
        if self.carried_out[call.idempotency_key]:
            return f"{what} for {call.workflow_id}"
        return NOT_FOUND

    async def undo(self, call: Call, result: str | None) -> None:  # noqa: ARG002 - others tell it
        """Takes it back."""
        self.undone[call.idempotency_key] += 1


class JourneyWorkflow:
    """Steps, a call, branches, a sleep, a signal and a child; what fails at the end undoes all."""

    kind = "journey"

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def run(self, ctx: WorkflowContext, start: StartJourney) -> JourneyReport:
        await ctx.step("pack", leave_row, "pack", compensate=unpack)
        outside = self._outside
        ticket = await ctx.options(retry=Retry(delay=timedelta(seconds=2))).call(
            "ticket", outside.carry_out, "ticket", verify=outside.look_up, compensate=outside.undo
        )
        branches = await ctx.parallel(
            lambda branch: branch.step("left", leave_row, "left", compensate=unpack),
            self._wait_and_see,
        )
        await ctx.sleep("night", timedelta(seconds=start.sleep_seconds))
        approved_by = await self._approval(ctx, start)
        errand = await self._errand(ctx, start)
        await ctx.step("arrive", arrive, start.fails)
        return JourneyReport(ticket, list(branches), approved_by, errand)

    async def _wait_and_see(self, ctx: WorkflowContext) -> str:
        await ctx.step("right", leave_row, "right", compensate=unpack)
        await ctx.sleep("rest", timedelta(seconds=60))
        return await ctx.step("further", leave_row, "further")

    async def _approval(self, ctx: WorkflowContext, start: StartJourney) -> str:
        seconds = start.signal_timeout_seconds
        timeout = None if seconds is None else timedelta(seconds=seconds)
        try:
            return (await ctx.wait_for_signal("approval", Approved, timeout)).by
        except SignalTimeout:
            return "time"

    async def _errand(self, ctx: WorkflowContext, start: StartJourney) -> str:
        if not start.with_child:
            return "none"
        child = await ctx.start_child("errand", StartErrand())
        return await child.result(str)


class ErrandWorkflow:
    """The child of a journey."""

    kind = "errand"

    async def run(self, ctx: WorkflowContext, start: StartErrand) -> str:
        if start.fails:
            raise NonRetryableError("errand_failed", "it was told to")
        return await ctx.step("errand", leave_row, "errand")


async def leave_row(step: Step, name: str) -> str:
    """Appends to the effect log and publishes a fact."""
    await step.connection.execute(
        "INSERT INTO effects (workflow_id, step) VALUES ($1, $2)", step.workflow_id, name
    )
    step.publish(StepDone(step=name))
    return name


async def unpack(step: Step, name: str) -> None:
    """Undoes what left a row, by another row."""
    await leave_row(step, f"undo {name}")


async def arrive(step: Step, fails: bool) -> None:
    """The last step."""
    if fails:
        raise NonRetryableError("no_room", "there is no room")
    await leave_row(step, "arrive")
