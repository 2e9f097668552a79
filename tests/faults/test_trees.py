"""Workflows of any shape come to the same end, whatever happens to the processes that run them."""

from __future__ import annotations

import asyncio

import pytest
import structlog.testing
from hypothesis import HealthCheck, Phase, given, settings

from shared.testing.trees import CallNode, ForkNode, SleepNode, StartTree, StepNode, WaitNode
from tests.faults.disturbances import (
    Cutting,
    Disturbance,
    Doubling,
    Ending,
    Pausing,
    Script,
)
from tests.faults.forest import (
    DISTURBANCES,
    ENDINGS,
    FEW_DISTURBANCES,
    SCRIPTS,
    SMALL_TREES,
    TREES,
    Body,
    named,
)
from tests.faults.outcomes import Outcome, agree, outcome_of, same
from tests.faults.servers import ServerService
from tests.faults.service import Service, play
from tests.faults.sweep import World
from tests.faults.twins import TwinService


async def witnessed(
    start: StartTree, script: Script, disturbances: list[Disturbance], service: Service
) -> Outcome:
    with structlog.testing.capture_logs() as logs:
        await play(start, script, disturbances, service)
        outcome = await outcome_of(start, service)
    alarms = {"delivery_failed", "journal_mismatch"}
    same("alarms", [each for each in logs if each["event"] in alarms], [])
    return outcome


def run(
    start: StartTree, script: Script, disturbances: list[Disturbance], service: Service
) -> Outcome:
    return asyncio.run(witnessed(start, script, disturbances, service))


PROPERTY = settings(
    max_examples=250,
    deadline=None,
    database=None,
    print_blob=True,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
)
"""Other examples in each run of the tests; one that fails is printed with what repeats it."""


@PROPERTY
@given(start=TREES, script=SCRIPTS)
def test_fused_and_unfused_runs_do_the_same(start: StartTree, script: Script) -> None:
    fused = run(start, script, [], TwinService())
    agree(run(start, script, [], TwinService(unfused=True)), fused)
    agree(run(start, script, [], TwinService(segment_seconds=-1)), fused)


@PROPERTY
@given(start=TREES, script=SCRIPTS, disturbances=DISTURBANCES)
def test_a_disturbed_run_does_the_same_as_one_that_is_left_alone(
    start: StartTree, script: Script, disturbances: list[Disturbance]
) -> None:
    alone = run(start, script, [], TwinService())
    agree(run(start, script, disturbances, TwinService()), alone)


@PROPERTY
@given(start=TREES, disturbances=DISTURBANCES, ending=ENDINGS)
def test_a_rollback_at_any_time_undoes_all_that_was_done(
    start: StartTree, disturbances: list[Disturbance], ending: Ending
) -> None:
    run(start, (), [*disturbances, ending], TwinService())


@settings(PROPERTY, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=SMALL_TREES, script=SCRIPTS, disturbances=FEW_DISTURBANCES)
async def test_a_disturbed_run_on_the_servers_does_the_same(
    world: World, start: StartTree, script: Script, disturbances: list[Disturbance]
) -> None:
    alone = await witnessed(start, script, [], TwinService())
    servers = await ServerService.afresh(world)
    agree(await witnessed(start, script, disturbances, servers), alone)


STEP = StepNode(name="")
UNDONE = StepNode(name="", undone="yes")
REFUSED = CallNode(name="", verified=False, ending="refused")
LOST = StepNode(name="", failures=1, attempts=1, tolerated=False)
NO_SLEEP = SleepNode(name="", seconds=0)
SLEEP = SleepNode(name="", seconds=60)
WAIT = WaitNode(name="")


MOST_POINTS = 40
"""Of the first delivery of what follows."""


def fork(*branches: Body) -> ForkNode:
    return ForkNode(name="", branches=branches)


FOUND: dict[str, tuple[Body, list[Disturbance]]] = {
    "a signal that a branch reads last": ((fork((STEP, WAIT)), SLEEP, STEP), []),
    "a sleep that is over at once, before a step that fails": (
        (UNDONE, REFUSED, NO_SLEEP, LOST),
        [],
    ),
    "an acknowledgement of a control that gets lost": ((SLEEP,), [Pausing(0, 0), Doubling(2)]),
    "a resume during the rollback": ((UNDONE, LOST), [Pausing(0, 0)]),
}
"""What these properties have found, made small."""


@pytest.mark.parametrize("found", FOUND)
def test_what_was_found_stays_mended(found: str) -> None:
    body, disturbances = FOUND[found]
    start = StartTree(body=named(body))
    alone = run(start, (), [], TwinService())
    agree(run(start, (), [], TwinService(unfused=True)), alone)
    agree(run(start, (), disturbances, TwinService()), alone)
    for point in range(MOST_POINTS):
        agree(run(start, (), [Cutting(0, point), *disturbances], TwinService()), alone)


@pytest.mark.rule("engine-10", "engine-19")
def test_a_branch_of_a_branch_that_was_cut_off_is_undone_too() -> None:
    start = StartTree(body=named((fork((fork((UNDONE, SLEEP)),)),)))
    for point in range(MOST_POINTS):
        run(start, (), [Cutting(0, point), Ending(0)], TwinService())
