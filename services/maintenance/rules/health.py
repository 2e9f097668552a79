"""When a component counts as failed, and when that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from shared.messages.maintenance import ComponentHealth, HealthStatus

BAD_TO_FAIL = 3
GOOD_TO_RECOVER = 2
WORST_FIRST: tuple[HealthStatus, ...] = ("fail", "warn", "pass")


@dataclass(frozen=True)
class Standing:
    """What a replica makes of one component's results."""

    failed: bool | None = None
    """None until it has seen enough of them."""
    bad: bool = False
    """Of the last result."""
    in_a_row: int = 0


@dataclass(frozen=True)
class Told:
    """What was last told of a component, the same for all replicas."""

    incident: int = 0
    """Counts alerts; each and its recovery have one number."""
    recovered: bool = True
    at: datetime | None = None
    """None before the first alert."""


def judge(standing: Standing, status: HealthStatus) -> Standing:
    """After one more result. A warning is not bad."""
    bad = status == "fail"
    in_a_row = standing.in_a_row + 1 if bad == standing.bad else 1
    failed = standing.failed
    if in_a_row >= (BAD_TO_FAIL if bad else GOOD_TO_RECOVER):
        failed = bad
    return Standing(failed, bad, in_a_row)


def tell(standing: Standing, told: Told, now: datetime, cooldown: timedelta) -> Told | None:
    """What is to be told now, if anything: an alert, or the recovery of the last one.

    A component that fails again within the cooldown after its recovery is told of when the
    cooldown is over, if it still fails: one that flaps does not call somebody each time.
    """
    if standing.failed is None or standing.failed != told.recovered:
        return None
    if not standing.failed:
        return Told(told.incident, recovered=True, at=now)
    if told.at is not None and now - told.at < cooldown:
        return None
    return Told(told.incident + 1, recovered=False, at=now)


def attribute(
    results: Sequence[ComponentHealth], stands_on: Mapping[str, Sequence[str]]
) -> tuple[ComponentHealth, ...]:
    """The results, each failing one with the cause that fails beneath it: one loss, one alert."""
    failing = {result.component for result in results if result.status == "fail"}

    def cause(component: str) -> str | None:
        for below in stands_on.get(component, ()):
            if below in failing:
                return cause(below) or below
        return None

    return tuple(
        replace(result, cause=cause(result.component)) if result.status == "fail" else result
        for result in results
    )


def worst(results: Sequence[ComponentHealth]) -> HealthStatus:
    """Of all of them; `pass` of none."""
    found = {result.status for result in results}
    for status in WORST_FIRST:
        if status in found:
            return status
    return "pass"
