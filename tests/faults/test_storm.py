"""A short storm: what is accepted ends, once, whatever is killed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import denials
from tests.faults.callers import FEWEST_STARTS
from tests.faults.chaos import FEWEST_KILLS, FEWEST_OF_A_CLASS
from tests.faults.storm import storm

SECONDS = 15.0


@pytest.mark.rule("engine-1", "engine-7", "engine-11", "engine-25", "engine-26", "player-kill")
async def test_a_storm_of_kills_loses_and_doubles_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = secrets.randbelow(10**6)
    record_property("storm", f"seed {seed}")
    report = await storm(seed, SECONDS, tmp_path)

    record_property("storm", report)
    assert report.complaints == [], report
    assert denials(tmp_path) == []
    assert report.starts >= FEWEST_STARTS
    kills = [report.blows[kind] for kind in ("service", "nats", "postgres")]
    assert sum(kills) >= FEWEST_KILLS
    assert min(kills) >= FEWEST_OF_A_CLASS
