"""What a step's body receives, and the marker it may return."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import cached_property
from random import Random
from typing import Any, Literal, Protocol, TypeVar

from shared.messages.events import Event
from shared.workflow.ports import Connection


class Marker(Enum):
    """The type of SKIPPED."""

    SKIPPED = "skipped"


SKIPPED = Marker.SKIPPED
"""Returned by a step that had nothing to do: journaled, but not among the completed steps."""

Skipped = Literal[Marker.SKIPPED]


class Step:
    """One attempt of one step: its transaction, its instant, and what it publishes."""

    def __init__(self, connection: Connection, now: datetime, seed: str, workflow_id: str):
        self.connection = connection
        self.now = now
        self.workflow_id = workflow_id
        self.events: list[Event] = []
        self._seed = seed

    @cached_property
    def random(self) -> Random:
        """The step's own stream: the same in every attempt."""
        return Random(self._seed)

    def publish(self, event: Event) -> None:
        """Publishes a fact if, and only if, the step's transaction commits."""
        self.events.append(event)


Store_co = TypeVar("Store_co", covariant=True)


class StoreFactory(Protocol[Store_co]):
    """Makes a store on a step's connection, bound to the id of whom the step is about.

    A class with this constructor is one.
    """

    def __call__(self, connection: Connection, subject: Any, /) -> Store_co: ...
