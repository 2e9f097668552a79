"""What a harness stands on: the engine's ports, a work queue and machine time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from shared.testing.clocks import MachineTime
from shared.testing.rig import DueStore
from shared.workflow.ports import Connection, Delivery, Publisher, StatusBucket
from shared.workflow.records import DeadLetter, InstanceKey, OutboxMessage

Sql: TypeAlias = str | Path
"""The tables of a service: a script, or the folder of its migrations."""


class World(Protocol):
    """In memory or on servers; what a test of the engine may ask of either."""

    machine: MachineTime
    """The process's monotonic clock."""

    @property
    def store(self) -> DueStore: ...
    @property
    def publisher(self) -> Publisher: ...
    @property
    def statuses(self) -> StatusBucket: ...

    async def pull(self, held: int) -> Delivery | None:
        """The next command; None when there are only those `held` that were pulled before."""
        ...

    async def relay(self) -> int:
        """Publishes what its writer did not; returns how many messages."""
        ...

    async def next_due_at(self) -> datetime | None:
        """The next instant of business time at which an instance goes on."""
        ...

    async def awaits_machine_time(self) -> bool:
        """Whether an instance goes on only when a lease or a delay has run out."""
        ...

    async def pass_machine_time(self, seconds: float) -> None:
        """Lets machine time go by at once, also for who holds a transaction open meanwhile."""
        ...

    async def instances(self) -> list[InstanceKey]:
        """All there are, as they began."""
        ...

    async def events(self) -> list[OutboxMessage]:
        """What was published on `events.`, as a consumer sees it that drops repeats."""
        ...

    async def dead_letters(self) -> list[DeadLetter]:
        """What could not be carried out."""
        ...

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """To the service's tables, as its role. Raises AssertionError in memory."""
        ...

    @property
    def statements(self) -> Sequence[tuple[str, tuple[Any, ...]]]:
        """What steps have executed and committed. Raises AssertionError on servers."""
        ...
