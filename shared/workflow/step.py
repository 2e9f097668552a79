"""What a step's body receives, and the marker it may return."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import cached_property
from random import Random
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.events import Event
from shared.messages.workflows import Signal, SignalCommand, Trigger
from shared.workflow import tracing
from shared.workflow.ports import Connection
from shared.workflow.records import OutboxMessage
from shared.workflow.starts import start_message


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
        self.messages: list[OutboxMessage] = []
        self._seed = seed

    @cached_property
    def random(self) -> Random:
        """The step's own stream: the same in every attempt."""
        return Random(self._seed)

    def publish(self, event: Event) -> None:
        """Publishes a fact if, and only if, the step's transaction commits."""
        self.events.append(event)

    def start(self, trigger: Trigger) -> None:
        """Starts an instance of the same service if, and only if, the step's transaction commits.

        It is nobody's child, and nothing where one with its id is there already. Raises ValueError
        for a trigger without an id: each attempt must name the same instance.
        """
        if trigger.id is None:
            raise ValueError(f"give the {trigger.kind} an `id`: each attempt must start the same")
        actor = f"workflow:{self.workflow_id}"
        self.messages.append(
            start_message(
                trigger.kind, trigger.id, encode(trigger), actor=actor, created_at=self.now
            )
        )

    def signal(self, kind: str, workflow_id: str, signal: Signal) -> None:
        """Signals an instance of the same service if the step's transaction commits."""
        command = SignalCommand(type=signal.type, payload=msgspec.Raw(encode(signal)))
        self.messages.append(
            OutboxMessage(
                id=f"{self._seed}/{len(self.messages)}",
                subject=subjects.signal(kind, workflow_id),
                body=encode(command),
                headers=tracing.outgoing(),
            )
        )


Store_co = TypeVar("Store_co", covariant=True)


class StoreFactory(Protocol[Store_co]):
    """Makes a store on a step's connection, bound to the id of whom the step is about.

    A class with this constructor is one.
    """

    def __call__(self, connection: Connection, subject: Any, /) -> Store_co: ...
