"""A short storm: what is accepted ends, once, whatever is killed, frozen or lost."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import denials
from tests.faults.callers import FEWEST_STARTS
from tests.faults.schedule import FEWEST_KILLS
from tests.faults.storm import say, storm

SECONDS = 20.0


@pytest.mark.rule(
    "engine-1",
    "engine-7",
    "engine-11",
    "engine-13",
    "engine-18",
    "engine-19",
    "engine-24",
    "engine-25",
    "engine-26",
    "engine-31",
    "player-kill",
)
# A connect that nats-py gives up while the servers die leaves its socket to be collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_storm_over_a_cluster_that_is_lost_once_loses_and_doubles_nothing(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = secrets.randbelow(10**6)
    with capsys.disabled():
        # At once, so that it is known whatever becomes of the storm.
        say(f"storm with seed {seed}")
    report = await storm(seed, SECONDS, tmp_path, say)

    record_property("storm", report)
    assert report.complaints == [], report
    assert denials(tmp_path) == []
    assert report.starts >= FEWEST_STARTS
    blows = report.blows
    assert blows["loss of NATS"] == 1
    assert blows["leader of NATS"] >= 3
    assert blows["kill of services"] + blows["kill of PostgreSQL"] >= FEWEST_KILLS * 0.9
    assert all(blows[f"{kind} of NATS"] for kind in ("kill", "restart", "freeze"))
