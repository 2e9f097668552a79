"""Workflows of any shape come to the same end, whatever happens to the processes that run them."""

from __future__ import annotations

import asyncio

import structlog.testing
from hypothesis import given, settings

from shared.testing.trees import StartTree
from tests.faults.forest import DISTURBANCES, SCRIPTS, TREES
from tests.faults.outcomes import Outcome, agree, outcome_of, same
from tests.faults.twins import Disturbance, Script, Service, play


async def played(
    start: StartTree, script: Script, disturbances: list[Disturbance], service: Service
) -> Outcome:
    await play(start, script, disturbances, service)
    return await outcome_of(start, service)


def run(
    start: StartTree, script: Script, disturbances: list[Disturbance], service: Service
) -> Outcome:
    with structlog.testing.capture_logs() as logs:
        outcome = asyncio.run(played(start, script, disturbances, service))
    alarms = {"delivery_failed", "journal_mismatch"}
    same("alarms", [each for each in logs if each["event"] in alarms], [])
    return outcome


@settings(max_examples=300, deadline=None, database=None, print_blob=True)
@given(start=TREES, script=SCRIPTS)
def test_fused_and_unfused_runs_do_the_same(start: StartTree, script: Script) -> None:
    fused = run(start, script, [], Service())
    agree(run(start, script, [], Service(unfused=True)), fused)
    agree(run(start, script, [], Service(segment_seconds=-1)), fused)


@settings(max_examples=300, deadline=None, database=None, print_blob=True)
@given(start=TREES, script=SCRIPTS, disturbances=DISTURBANCES)
def test_a_disturbed_run_does_the_same_as_one_that_is_left_alone(
    start: StartTree, script: Script, disturbances: list[Disturbance]
) -> None:
    alone = run(start, script, [], Service())
    agree(run(start, script, disturbances, Service()), alone)
