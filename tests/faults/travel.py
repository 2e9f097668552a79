"""python -m tests.faults.travel: a service whose trips do everything that the engine has."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.messages.workflows import Signal, Trigger
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.process import main
from shared.testing.journeys import arrive, leave_row, unpack
from shared.workflow.context import WorkflowContext
from shared.workflow.options import Retry
from shared.workflow.registry import register
from tests.faults.outside import Abroad

SERVICE = "travel"
CALL_TIMEOUT = timedelta(seconds=2)
RETRY = Retry(max_attempts=100, delay=timedelta(seconds=0.2), backoff="constant")
"""Enough for every kill that meets the same call."""


class Stop(Signal, frozen=True, kw_only=True):
    type = "stop"

    number: int


class StartTrip(Trigger, frozen=True, kw_only=True):
    kind = "trip"
    service = SERVICE
    signals = (Stop,)

    stops: int
    night_seconds: float
    fails: bool
    """Whether the last step fails for good, so that all is undone."""


class StartErrand(Trigger, frozen=True, kw_only=True):
    kind = "errand"
    service = SERVICE


class TripReport(msgspec.Struct):
    stops: list[int]
    """Their numbers, as they were heard."""


class TripWorkflow:
    """Steps, calls, branches, sleeps, signals and a child."""

    kind = "trip"

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad

    async def run(self, ctx: WorkflowContext, start: StartTrip) -> TripReport:
        await ctx.step("pack", leave_row, "pack", compensate=unpack)
        await self._buy(ctx, "ticket")
        await ctx.parallel(
            lambda branch: branch.step("left", leave_row, "left", compensate=unpack), self._stroll
        )
        await ctx.sleep("night", timedelta(seconds=start.night_seconds))
        stops = [await ctx.wait_for_signal(f"stop_{each}", Stop) for each in range(start.stops)]
        errand = await ctx.start_child("errand", StartErrand())
        await errand.result(str)
        await ctx.step("arrive", arrive, start.fails)
        return TripReport([stop.number for stop in stops])

    async def _stroll(self, ctx: WorkflowContext) -> None:
        await ctx.step("right", leave_row, "right", compensate=unpack)
        await ctx.sleep("rest", timedelta(seconds=0.5))
        await self._buy(ctx, "meal")

    async def _buy(self, ctx: WorkflowContext, what: str) -> str:
        abroad = self._abroad
        return await ctx.options(retry=RETRY, timeout=CALL_TIMEOUT).call(
            what, abroad.carry_out, what, verify=abroad.look_up, compensate=abroad.undo
        )


class ErrandWorkflow:
    """A trip's child: a step and a call, which nothing undoes."""

    kind = "errand"

    def __init__(self, abroad: Abroad) -> None:
        self._abroad = abroad

    async def run(self, ctx: WorkflowContext, start: StartErrand) -> str:
        await ctx.step("errand", leave_row, "errand")
        return await ctx.options(retry=RETRY, timeout=CALL_TIMEOUT).call(
            "present", self._abroad.carry_out, "present", verify=self._abroad.look_up
        )


class TravelSettings(ServiceSettings, frozen=True, kw_only=True):
    outside_url: Annotated[str, Meta(description="the address of the world outside")]


def define(settings: TravelSettings) -> ServiceDefinition:
    """The service under its settings."""
    abroad = Abroad(settings.outside_url)
    return ServiceDefinition(
        SERVICE,
        workflows=[
            register(StartTrip, TripWorkflow(abroad)),
            register(StartErrand, ErrandWorkflow(abroad)),
        ],
    )


if __name__ == "__main__":
    sys.exit(main(TravelSettings, define))
