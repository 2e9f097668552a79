"""The values that pass between the engine and its store."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from shared.messages.workflows import ErrorInfo, Status


class InstanceKey(NamedTuple):
    """Kind and id; the same id under two kinds is two instances."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.id}"


class EntryKey(NamedTuple):
    """Where in a run an operation stands: which occurrence of its name on its path."""

    path: str
    name: str
    occurrence: int


FINISHED = frozenset({"complete", "skipped", "failed", "unknown"})
"""States of entries that no later run changes."""

IN_FLIGHT = frozenset({"calling", "verifying"})
"""States of a call's attempt that was committed and whose outcome is not known; in the second, a
look-up has failed and comes again."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the journal."""

    path: str
    name: str
    occurrence: int
    position: int
    """Place on the path, from 0; the replay compares names at positions (rule 22)."""
    type: str
    """step, call, sleep, signal, child, result, parallel, patch or compensation."""
    state: str
    """complete, skipped, failed, unknown; or, not finished, retrying, calling, verifying, sleeping,
    waiting or started."""
    attempts: int
    ordinal: int = 0
    """Which operation of the run began when, over all its paths: compensations go backwards."""
    started_at: datetime
    finished_at: datetime | None = None
    due_at: datetime | None = None
    """Of a sleep or a wait: its end. Of what is retrying: its next attempt. Business time."""
    age_seconds: float | None = None
    """Of a call: machine time since its last attempt was committed, as the store reads it."""
    result: bytes | None = None
    error: ErrorInfo | None = None

    @property
    def key(self) -> EntryKey:
        """Its place in the run."""
        return EntryKey(self.path, self.name, self.occurrence)

    @property
    def finished(self) -> bool:
        """Whether a replay takes it as it is."""
        return self.state in FINISHED

    @property
    def in_flight(self) -> bool:
        """Whether it is a call whose outcome is not known."""
        return self.state in IN_FLIGHT


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message written in the transaction whose effect it tells, published after the commit."""

    id: str
    """Its Nats-Msg-Id, the same whenever it is published; empty for what may well come twice."""
    subject: str
    body: bytes
    headers: dict[str, str] = {}


class StreamPosition(NamedTuple):
    """Where a message stands: a stream made anew counts from 1 again, but is younger."""

    stream_created: str
    sequence: int


class InboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the inbox: a signal, a control, or the notice of a child's end."""

    seq: int = 0
    """Given by the store."""
    message_id: str
    """Unique for the instance and the category, so that a redelivery changes nothing (rule 13)."""
    category: Literal["signal", "control", "notice"]
    type: str
    """Of a signal its type, of a control its action, of a notice the child's key."""
    payload: bytes = b"null"
    actor: str | None = None
    position: StreamPosition
    """Signals and controls count in this order, whoever stores them first."""
    created_at: datetime
    """Business time."""


class Notice(NamedTuple):
    """A message from one instance to another, written with what it tells of."""

    to: InstanceKey
    message: InboxMessage


class Parent(NamedTuple):
    """The run that started a child and may wait for its end."""

    kind: str
    id: str
    run: int

    @property
    def key(self) -> InstanceKey:
        """The parent's instance."""
        return InstanceKey(self.kind, self.id)

    def __str__(self) -> str:
        return f"{self.kind}.{self.id}/{self.run}"

    @classmethod
    def parse(cls, text: str) -> Parent:
        """Reads what `str` wrote. Raises ValueError."""
        key, _, run = text.rpartition("/")
        kind, _, workflow_id = key.partition(".")
        if not kind or not workflow_id:
            raise ValueError(f"{text!r} is no parent: kind.id/run")
        return cls(kind, workflow_id, int(run))


class Instance(msgspec.Struct, kw_only=True):
    """An instance as its owner sees it: a commit writes what its owner has made of it."""

    key: InstanceKey
    run: int
    epoch: int
    generation: int
    version: int
    status: Status
    input: bytes
    actor: str | None
    idempotency_key: str | None
    body_hash: str | None
    event_sequence: int
    claims_without_progress: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime
    finished_at: datetime | None = None
    wake_at: datetime | None = None
    output: bytes | None = None
    error: ErrorInfo | None = None
    rollback: str | None = None
    """running while compensations run (rule 19), then complete or failed."""
    ending: Status | None = None
    """Status that the instance takes once its compensations have run."""
    control: StreamPosition | None = None
    """The last pause or resume that was obeyed; an older one is ignored (rule 13)."""
    restart: StreamPosition | None = None
    """The restart that the present run came from; what asks an older run to end is void."""
    parent: Parent | None = None
    trace: str | None = None
    """The traceparent it was started under, for later deliveries to link to."""
    retired: bool = False
    """Retention has deleted its journal and its bodies (rule 17)."""

    @property
    def is_paused(self) -> bool:
        """Whether a control has paused it; what another build left goes on by itself."""
        return self.status is Status.PAUSED and self.wake_at is None


class StartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a start brings for an instance that does not exist yet."""

    input: bytes
    created_at: datetime
    start_at: datetime | None = None
    actor: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None
    parent: Parent | None = None
    trace: str | None = None


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for the sole right to run an instance."""

    key: InstanceKey
    now: datetime
    redelivered: bool
    """Counts as a claim without progress until a commit shows some (rule 23)."""
    start: StartRequest | None = None
    """None for a wake, which never creates an instance."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The instance is this worker's, until its epoch is overtaken."""

    instance: Instance
    created: bool
    """The claim made the row: there is no journal to read."""
    taken_over: bool
    """A worker held a lease and let it expire: run unfused."""
    unread: bool = False
    """Something lies in the inbox."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a claim was not granted."""

    reason: str
    """busy: another transaction holds it now; leased: another worker owns it; parked: not due;
    paused; ended; absent: a wake for an instance that is not there."""
    held: bool = False
    """Another transaction holds the instance, so the reason may be over with its commit."""
    parent: Parent | None = None
    """Of the instance that is there: a child's start may have met somebody else's."""
    retry_seconds: float | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment leaves: journal rows, messages, and the instance's new state."""

    status: Status
    now: datetime
    entries: tuple[Entry, ...] = ()
    messages: tuple[OutboxMessage, ...] = ()
    event_sequence: int
    wake_at: datetime | None = None
    """Business instant at which the instance goes on."""
    due_at: datetime | None = None
    """Business instant at which the timekeeper looks; with neither this nor a lease none does."""
    lease_seconds: float | None = None
    """Machine time for which the worker keeps the instance after this commit."""
    progress: bool = True
    """False leaves claims_without_progress as it is."""
    output: bytes | None = None
    error: ErrorInfo | None = None
    finished_at: datetime | None = None
    taken: tuple[int, ...] = ()
    """Rows of the inbox that are read with this commit."""
    keep_before: int | None = None
    """Of a restart: the operations before this position are kept for the new run (rule 14)."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What the store answered to a checkpoint."""

    version: int
    generation: int
    unread: tuple[int, ...] = ()
    """All that lies in the instance's inbox."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that cannot be processed, with the reason."""

    origin: str
    subject: str
    headers: dict[str, str]
    body: bytes
    reason: str
    """Stable word: undecodable, poisoned, or the code of a refusal."""
    detail: str
    at: datetime
