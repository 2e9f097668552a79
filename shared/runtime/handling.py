"""What a service answers and takes besides workflows: commands, queries, ingested facts, and the
facts of other services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from shared.messages import subjects
from shared.messages.base import Message
from shared.messages.events import Event
from shared.messages.workflows import Trigger
from shared.runtime.surroundings import Surroundings
from shared.workflow.ports import Connection
from shared.workflow.records import OutboxMessage

M = TypeVar("M", bound=Message)
E = TypeVar("E", bound=Event)


@dataclass
class Work:
    """One request or fact, inside the transaction that commits all it does."""

    connection: Connection
    now: datetime
    actor: str
    """Who asked: the credential's name, or `nats` for a bare publish."""
    key: str
    """Idempotency key of the request, or the message id of the fact."""
    events: list[Event] = field(default_factory=list[Event])
    triggers: list[Trigger] = field(default_factory=list[Trigger])
    messages: list[OutboxMessage] = field(default_factory=list[OutboxMessage])

    def publish(self, event: Event) -> None:
        """Publishes a fact if, and only if, the transaction commits."""
        self.events.append(event)

    def start(self, trigger: Trigger) -> None:
        """Starts a workflow if, and only if, the transaction commits. Its `id` must be given."""
        self.triggers.append(trigger)

    def send(self, message: OutboxMessage) -> None:
        """Publishes a message as it is if, and only if, the transaction commits."""
        self.messages.append(message)


@dataclass(frozen=True)
class Handler(Generic[M]):
    """A named request or fact and the function that carries it out.

    The function raises `Refused` for what cannot be done; nothing it did is then kept.
    """

    name: str
    message: type[M]
    handle: Callable[[Work, M], Awaitable[Message | None]]


AnyHandler = Handler[Any]


@dataclass(frozen=True)
class Heard(Generic[E]):
    """A fact of another service."""

    id: str
    """The same on every delivery, also where `recover` publishes the fact again."""
    service: str
    occurred_at: datetime
    event: E


@dataclass(frozen=True)
class EventHandler(Generic[E]):
    """A fact of another service, and the function that does in one transaction what follows.

    A fact comes at least once, in any order: the function must find by the id what it did before,
    or do what may be done twice. Refused sends the fact to the dead letters.
    """

    service: str
    """Who tells it."""
    event: type[E]
    handle: Callable[[Work, Heard[E]], Awaitable[None]]

    @property
    def subject(self) -> str:
        """Where it is told."""
        return subjects.event(self.service, self.event.name)


AnyEventHandler = EventHandler[Any]


@dataclass(frozen=True)
class Errand(Generic[M]):
    """A command that keeps its own transactions, such as one that goes through many rows.

    It may be asked for again at any time: what it did is done, and it goes on with the rest. The
    function raises `Refused` for what cannot be done.
    """

    name: str
    message: type[M]
    handle: Callable[[Surroundings, M], Awaitable[Message]]


AnyErrand = Errand[Any]
