"""The values that pass between the engine and its store."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

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


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the journal."""

    path: str
    name: str
    occurrence: int
    position: int
    """Place on the path, from 0; the replay compares names at positions (rule 22)."""
    type: str
    """step or sleep."""
    state: str
    """complete, skipped, failed; or, not finished, retrying or sleeping."""
    attempts: int
    started_at: datetime
    finished_at: datetime | None = None
    due_at: datetime | None = None
    """Of a sleep: its end. Of a retrying step: its next attempt. Business time."""
    result: bytes | None = None
    error: ErrorInfo | None = None

    @property
    def key(self) -> EntryKey:
        """Its place in the run."""
        return EntryKey(self.path, self.name, self.occurrence)

    @property
    def finished(self) -> bool:
        """Whether a replay takes it as it is."""
        return self.state in {"complete", "skipped", "failed"}


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message written in the transaction whose effect it tells, published after the commit."""

    id: str
    """Its Nats-Msg-Id, the same whenever it is published; empty for what may well come twice."""
    subject: str
    body: bytes
    headers: dict[str, str] = {}


class Instance(msgspec.Struct, kw_only=True):
    """An instance as its owner sees it; `version` and `event_sequence` advance as it commits."""

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
    retired: bool = False
    """Retention has deleted its journal and its bodies (rule 17)."""


class StartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a start brings for an instance that does not exist yet."""

    input: bytes
    created_at: datetime
    start_at: datetime | None = None
    actor: str | None = None
    idempotency_key: str | None = None
    body_hash: str | None = None


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


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a claim was not granted."""

    reason: str
    """busy: another transaction holds it now; leased: another worker owns it; parked: not due;
    paused; ended; absent: a wake for an instance that is not there."""
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


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What the store answered to a checkpoint."""

    version: int
    generation: int


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
