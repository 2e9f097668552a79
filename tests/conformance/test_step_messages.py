"""What a step starts and signals goes out with its commit, once, and not without it."""

from __future__ import annotations

from datetime import timedelta

from shared.messages.workflows import Signal, Trigger
from shared.testing.harness import Harness, OpenHarness
from shared.testing.samples import EFFECTS_SQL
from shared.testing.sweep import at_every_point
from shared.workflow.context import WorkflowContext
from shared.workflow.errors import SignalTimeout
from shared.workflow.options import Retry
from shared.workflow.registry import Registration, register
from shared.workflow.step import Step


class Toast(Signal, frozen=True, kw_only=True):
    type = "toast"

    to: str


class StartGuest(Trigger, frozen=True, kw_only=True):
    kind = "guest"
    service = "sample"
    signals = (Toast,)

    host: str


class GuestWorkflow:
    """Hears toasts until none has come for an hour."""

    kind = "guest"

    async def run(self, ctx: WorkflowContext, start: StartGuest) -> list[str]:
        heard = [start.host]
        while True:
            try:
                toast = await ctx.wait_for_signal("toast", Toast, timedelta(hours=1))
            except SignalTimeout:
                return heard
            heard.append(toast.to)


class StartHost(Trigger, frozen=True, kw_only=True):
    kind = "host"
    service = "sample"

    guest: str | None
    failures: int = 0
    """How many attempts of the step fail after all that it sends."""


class HostWorkflow:
    """Invites a guest and toasts, in one step; then says farewell, in another."""

    kind = "host"

    def __init__(self) -> None:
        self._attempts = 0

    async def run(self, ctx: WorkflowContext, start: StartHost) -> None:
        retrying = ctx.options(retry=Retry(max_attempts=3, delay=timedelta(seconds=1)))
        await retrying.step("invite", self.invite, start)
        await ctx.step("part", self.part, start.guest or "nobody")

    async def invite(self, step: Step, start: StartHost) -> None:
        self._attempts += 1
        fails = self._attempts <= start.failures
        step.start(StartGuest(id=f"{start.guest}-too-soon" if fails else start.guest, host="?"))
        step.signal("guest", start.guest or "", Toast(to="too soon" if fails else "the house"))
        if fails:
            raise RuntimeError("the table is not laid")

    async def part(self, step: Step, guest: str) -> None:
        step.signal("guest", guest, Toast(to="the road"))


def party() -> list[Registration]:
    return [register(StartHost, HostWorkflow()), register(StartGuest, GuestWorkflow())]


async def invitation(open_harness: OpenHarness) -> None:
    async with open_harness(party(), sql=EFFECTS_SQL) as harness:
        host = await harness.start(StartHost(guest="ann"))
        assert host.status == "complete"
        await harness.advance(hours=1)
        [guest] = await harness.instances("guest")
        assert guest.id == "ann"
        assert guest.output == ["?", "the house", "the road"]


async def test_what_a_step_sends_arrives_once_wherever_its_process_is_lost(
    open_harness: OpenHarness,
) -> None:
    every = 1 if open_harness == Harness.in_memory else 7
    assert len(await at_every_point(open_harness, invitation, every=every)) > 30


async def test_an_attempt_that_is_rolled_back_sends_nothing(open_harness: OpenHarness) -> None:
    async with open_harness(party(), sql=EFFECTS_SQL) as harness:
        host = await harness.start(StartHost(guest="ann", failures=2))
        await harness.advance(seconds=3)
        assert host.step("invite").attempts == 3
        await harness.advance(hours=1)
        [guest] = await harness.instances("guest")
        assert (guest.id, guest.output) == ("ann", ["?", "the house", "the road"])


async def test_two_steps_that_start_the_same_instance_start_one(open_harness: OpenHarness) -> None:
    async with open_harness(party(), sql=EFFECTS_SQL) as harness:
        hosts = [await harness.start(StartHost(id=name, guest="ann")) for name in ("bea", "cleo")]
        assert [host.status for host in hosts] == ["complete", "complete"]
        assert [host.step("invite").attempts for host in hosts] == [1, 1]
        await harness.advance(hours=1)
        [guest] = await harness.instances("guest")
        assert guest.output == ["?", "the house", "the road", "the house", "the road"]


async def test_a_start_without_an_id_fails_the_step(open_harness: OpenHarness) -> None:
    async with open_harness(party(), sql=EFFECTS_SQL) as harness:
        host = await harness.start(StartHost(guest=None))
        await harness.advance(seconds=3)
        assert host.status == "errored"
        assert "give the guest an `id`" in host.error.message
        assert await harness.instances("guest") == []
