"""What makes one service different from another: its parts and its settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Protocol

from msgspec import Meta

from shared.notify.plan import NoticePlan
from shared.postgres.invariants import Invariants
from shared.runtime.handling import AnyErrand, AnyEventHandler, AnyHandler
from shared.runtime.keeping import Dataset
from shared.runtime.notifying import NoticeSettings
from shared.runtime.surroundings import Surroundings
from shared.workflow.crons import Cron
from shared.workflow.registry import Registration

Count = Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")]
Seconds = Annotated[float, Meta(gt=0, le=86400, description="a number of seconds above 0")]
Days = Annotated[int, Meta(ge=1, le=36_500, description="a whole number of days from 1")]


class ServiceSettings(NoticeSettings, frozen=True, kw_only=True):
    """What a service with workflows takes from its environment."""

    workers: Count = 16
    """Starts that run at once."""
    wake_workers: Count = 8
    lease_seconds: Seconds = 30.0
    ack_wait_seconds: Seconds = 30.0
    drain_seconds: Seconds = 20.0
    timekeeper_seconds: Seconds = 0.5
    stream_replicas: Count = 1


class OwnPart(Protocol):
    """A loop that only one service has; its replicas may all run it."""

    name: str

    async def run(self) -> None:
        """Runs until it is cancelled; trouble that passes does not end it."""
        ...

    async def tick(self) -> object:
        """Does what is due at the clock's instant."""
        ...

    async def earliest_at(self) -> datetime | None:
        """When it has something to do next, in business time."""
        ...


Begin = Callable[[Surroundings], AbstractAsyncContextManager[Sequence[OwnPart]]]


@asynccontextmanager
async def nothing_of_its_own(_surroundings: Surroundings) -> AsyncGenerator[Sequence[OwnPart]]:
    """For a service that is made of the common parts."""
    yield ()


@dataclass(frozen=True)
class ServiceDefinition:
    """What makes one service different from another."""

    name: str
    workflows: Sequence[Registration]
    commands: Sequence[AnyHandler] = ()
    queries: Sequence[AnyHandler] = ()
    facts: Sequence[AnyHandler] = ()
    errands: Sequence[AnyErrand] = ()
    """Asked for as commands are."""
    events: Sequence[AnyEventHandler] = ()
    """The facts of other services that it hears; several may be for one fact."""
    inquiries: Sequence[AnyErrand] = ()
    """Asked for as queries are; they answer while PostgreSQL is away."""
    datasets: Sequence[Dataset] = ()
    """What its own tables keep for a time, beside the engine's."""
    crons: Sequence[Cron] = ()
    crons_revision: int = 0
    """1 with the first cron, and one more with every change to `crons`; the highest one counts."""
    notices: NoticePlan = NoticePlan()  # noqa: RUF009 - frozen
    invariants: Invariants = field(default_factory=dict[str, str])
    """Beside the engine's."""
    begin: Begin = nothing_of_its_own
    """Entered once there are a pool and a clock, before the first workflow runs; left after the
    last one."""
