"""The schedule of a storm."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.schedule import FEWEST_KILLS, LOSS, Victims, schedule

VICTIMS = Victims(
    services=("player-1", "player-2", "gateway"),
    nodes=("nats-1", "nats-2", "nats-3"),
    postgres="postgres",
    streams=("WORKFLOWS_PLAYER",),
)
SEEDS = range(50)


def test_the_same_seed_has_the_same_schedule() -> None:
    assert schedule(7, 20, VICTIMS) == schedule(7, 20, VICTIMS)
    assert schedule(7, 20, VICTIMS) != schedule(8, 20, VICTIMS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_storm_has_some_of_everything(seed: int) -> None:
    blows = schedule(seed, 20, VICTIMS)
    hit = Counter((blow.kind, blow.victim.partition("-")[0]) for blow in blows)
    assert hit["loss", "nats"] == 1
    assert hit["leader", "WORKFLOWS_PLAYER"] >= 3
    assert min(hit[kind, "nats"] for kind in ("kill", "restart", "freeze")) >= 1
    assert hit["kill", "postgres"] >= 3
    assert sum(blow.kind in {"kill", "leader"} for blow in blows) >= FEWEST_KILLS


@pytest.mark.parametrize("seed", SEEDS)
def test_blows_come_in_order_and_within_the_time(seed: int) -> None:
    blows = schedule(seed, 20, VICTIMS)
    times = [blow.at_seconds for blow in blows]
    assert times == sorted(times)
    assert (times[0], times[-1]) > (0, 0)
    assert times[-1] < 20
    [lost_at] = [blow.at_seconds for blow in blows if blow.kind == "loss"]
    assert LOSS[0] <= lost_at / 20 <= LOSS[1]


def test_only_freezes_last() -> None:
    assert all((blow.seconds > 0) is (blow.kind == "freeze") for blow in schedule(1, 60, VICTIMS))
