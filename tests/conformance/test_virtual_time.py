"""What is given back under a virtual clock, which waits for it in machine time."""

from __future__ import annotations

import pytest

from shared.workflow.call import Call
from shared.workflow.context import WorkflowContext
from tests.conformance.conftest import Bench
from tests.scripts import Stream, replica, two_steps


@pytest.mark.rule("engine-29")
async def test_a_wake_that_meets_an_owner_at_work_comes_again_soon(bench: Bench) -> None:
    stream, other = Stream(), replica(bench.rig, two_steps)
    wake = stream.wake()

    async def call(_call: Call) -> str:
        assert await other.executor.deliver(wake) == "leased"
        return "answered"

    async def run(ctx: WorkflowContext) -> str:
        return await ctx.call("call", call)

    assert await replica(bench.rig, run).executor.deliver(stream.start()) == "complete"
    # Not only after the lease, which lasts half a minute.
    assert (wake.settled, wake.delay_seconds) == ("nak", 0.25)
