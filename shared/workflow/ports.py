"""What the engine needs from outside, as Protocols; one conformance suite holds each adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias

from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    DeadLetter,
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    Notice,
    OutboxMessage,
    Refusal,
    StreamPosition,
)

Order: TypeAlias = tuple[int, int, int]
"""Generation, version and stage of a status document."""


class Clock(Protocol):
    """Business time."""

    @property
    def is_virtual(self) -> bool:
        """Whether it stands still until it is advanced; a machine-time delay means nothing then."""
        ...

    def now(self) -> datetime:
        """The instant, with zone UTC."""
        ...


class Connection(Protocol):
    """The part of an asyncpg connection that stores use; parameters are always bound."""

    async def execute(self, query: str, *args: Any) -> str: ...
    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: Any) -> Any: ...
    async def fetchval(self, query: str, *args: Any) -> Any: ...


class Transaction(Protocol):
    """One open transaction on one instance. Leaving it without `commit` rolls back."""

    @property
    def connection(self) -> Connection:
        """For step bodies."""
        ...

    async def claim(self, request: ClaimRequest) -> Claim | Refusal:
        """Takes the instance, or says why not. Never waits for another transaction."""
        ...

    async def journal(self, key: InstanceKey, run: int) -> list[Entry]:
        """The run's entries in order; to be read in a statement after the claim (rule 5)."""
        ...

    async def lock(self, instance: Instance, *, shared: bool = False) -> None:
        """First statement of a transaction after the claim's own; `shared` with the other branches
        of the same run.

        Raises LostClaim when another worker has claimed since, Transient while another
        transaction holds the instance.
        """
        ...

    def is_transient(self, error: Exception) -> bool:
        """Whether a step's error is trouble of the database and no attempt (rule 7)."""
        ...

    async def allow_idle(self, seconds: float) -> None:
        """Lets the server wait this long for a step body that does no SQL meanwhile."""
        ...

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        """Writes what a segment leaves, fenced by the instance's epoch. Raises LostClaim."""
        ...

    async def tell(self, notice: Notice) -> None:
        """Puts a notice into the inbox of another instance of the service."""
        ...

    async def commit(self) -> None:
        """Raises Transient when it is not certain that it took effect."""
        ...


class InstanceStore(Protocol):
    """Instances, journals, the outbox and the dead letters of one service."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction on a connection of the step pool."""
        ...

    async def load(self, key: InstanceKey) -> tuple[Instance, list[Entry]] | None:
        """An instance as it was last committed, with its journal."""
        ...

    async def unsent(self, key: InstanceKey) -> list[OutboxMessage]:
        """What the instance has committed and nobody has marked as sent."""
        ...

    async def mark_sent(self, ids: Iterable[str]) -> None:
        """Takes messages off the relay's list."""
        ...

    async def bury(self, letter: DeadLetter) -> None:
        """Keeps a message that cannot be processed; the same delivery again changes nothing."""
        ...

    async def keep(self, key: InstanceKey, messages: Sequence[InboxMessage]) -> None:
        """Puts messages into an inbox, all or none; those that are there already stay as they
        are."""
        ...

    async def unread(self, key: InstanceKey) -> list[InboxMessage]:
        """What lies in the inbox of an instance, in the order of its streams."""
        ...

    async def bury_stray(self, key: InstanceKey) -> None:
        """Moves what an ended instance has not read to the dead letters."""
        ...


class DueInstances(Protocol):
    """The index of what someone must look at."""

    async def take_due(self, now: datetime, limit: int) -> list[InstanceKey]:
        """Takes what is due at `now`, moved forward so that it is taken once (rule 1); with it the
        instances whose inbox has waited for a reader."""
        ...


class Publisher(Protocol):
    """Publishes with an acknowledgement."""

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Returns once every message is stored; raises Transient otherwise."""
        ...


class StatusBucket(Protocol):
    """The projection of instances that the gateway reads."""

    async def put(
        self, key: InstanceKey, document: bytes, order: Order, revision: int | None
    ) -> int | None:
        """Stores the document unless one of the same or a later order is there (rule 25).

        `revision` is the key's last known revision, a hint that spares a read. Returns the
        revision that was written, None when nothing was. Raises Transient.
        """
        ...


class Predecessor(NamedTuple):
    """A message that stands before another on its subject."""

    position: StreamPosition
    headers: Mapping[str, str]
    body: bytes


class Delivery(Protocol):
    """One delivery of a message, to be settled exactly once.

    What settles it raises Transient when the word cannot be sent: the message comes again.
    """

    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        ...

    @property
    def origin(self) -> str:
        """Stream, its creation time and the sequence: the same on every delivery (rule 16)."""
        ...

    @property
    def position(self) -> StreamPosition:
        """The same, to compare with others by."""
        ...

    async def before(self) -> Sequence[Predecessor]:
        """What was published on this subject before it and is not settled yet, oldest first.
        Raises Transient."""
        ...

    async def ack(self) -> None: ...
    async def nak(self, delay_seconds: float) -> None: ...
    async def term(self, reason: str) -> None: ...
