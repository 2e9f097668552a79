"""In-memory twins of the engine's ports; the conformance suite holds them to the real ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from shared.messages.workflows import Status
from shared.testing.memory_inbox import MemoryInbox
from shared.workflow.branch import main_position
from shared.workflow.controls import POISONED
from shared.workflow.errors import LostClaim, Transient
from shared.workflow.inbox import stray_letter
from shared.workflow.ports import Connection
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    DeadLetter,
    Entry,
    EntryKey,
    InboxMessage,
    Instance,
    InstanceKey,
    Notice,
    OutboxMessage,
    Refusal,
)

Statement = tuple[str, tuple[Any, ...]]


@dataclass
class Row:
    """An instance with what its table has beside the record."""

    instance: Instance
    lease_until: float | None = None
    due_at: datetime | None = None
    machine_due_at: float | None = None
    wakes: int = 0


@dataclass
class RecordingConnection:
    """Records statements instead of running them; a step's effects, as the tests see them."""

    statements: list[Statement] = field(default_factory=list[Statement])

    async def execute(self, query: str, *args: Any) -> str:
        """Records."""
        self.statements.append((query, args))
        return "OK"

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """Records; finds nothing."""
        self.statements.append((query, args))
        return []

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """Records; finds nothing."""
        self.statements.append((query, args))

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Records; finds nothing."""
        self.statements.append((query, args))


class MemoryStore:
    """See ports.InstanceStore."""

    def __init__(self, monotonic: Callable[[], float]):
        self.monotonic = monotonic
        self.rows: dict[InstanceKey, Row] = {}
        self.journals: dict[tuple[InstanceKey, int], dict[EntryKey, Entry]] = {}
        self.attempted: dict[tuple[InstanceKey, int, EntryKey], float] = {}
        """When the last attempt of a call was committed, in machine time."""
        self.outbox: dict[str, tuple[InstanceKey, OutboxMessage]] = {}
        self.sent: set[str] = set()
        self.dead_letters: dict[str, DeadLetter] = {}
        self.effects: list[Statement] = []
        self.inbox = MemoryInbox(monotonic)
        self.held: dict[InstanceKey, int] = {}
        """Shared holders by instance; -1 where one alone holds it."""
        self.open: set[MemoryTransaction] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[MemoryTransaction]:
        """See ports.InstanceStore."""
        transaction = MemoryTransaction(self)
        self.open.add(transaction)
        try:
            yield transaction
        finally:
            self.open.discard(transaction)
            transaction.end()

    def cut_off(self) -> None:
        """Ends open transactions, as a server ends those of a frozen worker (rule 6)."""
        for transaction in self.open:
            transaction.cut_off()

    async def load(self, key: InstanceKey) -> tuple[Instance, list[Entry]] | None:
        """See ports.InstanceStore."""
        row = self.rows.get(key)
        if row is None:
            return None
        return _copy(row.instance), self.entries(key, row.instance.run)

    def entries(self, key: InstanceKey, run: int) -> list[Entry]:
        """The journal of one run, in order."""
        found = [
            replace(entry, age_seconds=self._age(key, run, entry))
            for entry in self.journals.get((key, run), {}).values()
        ]
        return sorted(found, key=lambda entry: (entry.path, entry.position))

    def _age(self, key: InstanceKey, run: int, entry: Entry) -> float | None:
        attempted_at = self.attempted.get((key, run, entry.key))
        return None if attempted_at is None else self.monotonic() - attempted_at

    async def unsent(self, key: InstanceKey) -> list[OutboxMessage]:
        """See ports.InstanceStore."""
        return [
            message
            for source, message in self.outbox.values()
            if source == key and message.id not in self.sent
        ]

    async def mark_sent(self, ids: Iterable[str]) -> None:
        """See ports.InstanceStore."""
        self.sent.update(ids)

    async def flush_sent(self) -> None:
        """Nothing is gathered here."""

    async def bury(self, letter: DeadLetter) -> None:
        """See ports.InstanceStore."""
        self.dead_letters.setdefault(letter.origin, letter)

    async def keep(self, key: InstanceKey, messages: Sequence[InboxMessage]) -> None:
        """See ports.InstanceStore."""
        self.inbox.keep(key, messages)

    async def unread(self, key: InstanceKey) -> list[InboxMessage]:
        """See ports.InstanceStore."""
        return self.inbox.unread(key)

    async def bury_stray(self, key: InstanceKey) -> None:
        """See ports.InstanceStore."""
        row = self.rows.get(key)
        if row is None or not row.instance.status.ended:
            return
        stray = [each for each in self.inbox.unread(key) if not _still_obeyed(each, row.instance)]
        self._bury(key, stray, "workflow_ended")

    async def expire_unclaimed(self, before: datetime, limit: int) -> int:
        """See PostgresStore."""
        found = [row for row in self.inbox.unclaimed(before, limit) if row.key not in self.rows]
        for row in found:
            self._bury(row.key, [row.message], "workflow_not_found")
        return len(found)

    def _bury(self, key: InstanceKey, messages: Sequence[InboxMessage], reason: str) -> None:
        for message in messages:
            letter = stray_letter(key, message, reason)
            if letter is not None:
                self.dead_letters.setdefault(letter.origin, letter)
        self.inbox.read([message.seq for message in messages])

    async def take_due(self, now: datetime, limit: int) -> list[InstanceKey]:
        """Instances that someone must look at, moved forward so that they are taken once."""
        machine_now = self.monotonic()
        due = [key for key, row in self.rows.items() if _is_due(row, now, machine_now)][:limit]
        for key in due:
            row = self.rows[key]
            row.due_at = None
            row.machine_due_at = machine_now + min(60, 4 * 2 ** min(row.wakes, 4))
            row.wakes += 1
        return list(dict.fromkeys([*due, *self.inbox.take_due(limit)]))


class MemoryTransaction:
    """See ports.Transaction. What it does takes effect at `commit`."""

    def __init__(self, store: MemoryStore):
        self._store = store
        self._connection = RecordingConnection()
        self._row: Row | None = None
        self._entries: list[tuple[InstanceKey, int, Entry]] = []
        self._messages: list[tuple[InstanceKey, OutboxMessage]] = []
        self._held: InstanceKey | None = None
        self._fresh = False
        """The row is to be read again before it is written: a branch may have written it."""
        self._after: list[Callable[[], None]] = []
        self._cut_off = False

    @property
    def connection(self) -> Connection:
        """For step bodies."""
        return self._connection

    async def claim(self, request: ClaimRequest) -> Claim | Refusal:
        """See ports.Transaction."""
        key = request.key
        row = self._store.rows.get(key)
        if not self._hold(key):
            return self._refusal(row, request, held=True)
        if row is None:
            if request.start is None:
                return Refusal(reason="absent")
            self._row = _new_row(request)
            return Claim(
                instance=_copy(self._row.instance),
                created=True,
                taken_over=False,
                unread=self._store.inbox.holds(key),
            )
        if not _claimable(row, request.now, self._store):
            return self._refusal(row, request, held=False)
        instance = _copy(row.instance)
        instance.epoch += 1
        taken_over = row.lease_until is not None
        instance.claims_without_progress += int(request.redelivered or taken_over)
        self._row = Row(instance, row.lease_until, row.due_at, row.machine_due_at, row.wakes)
        return Claim(
            instance=_copy(instance),
            created=False,
            taken_over=taken_over,
            unread=self._store.inbox.holds(key),
        )

    async def journal(self, key: InstanceKey, run: int) -> list[Entry]:
        """See ports.Transaction."""
        return self._store.entries(key, run)

    async def lock(self, instance: Instance, *, shared: bool = False) -> None:
        """See ports.Transaction."""
        if not self._hold(instance.key, shared=shared):
            raise Transient(f"{instance.key} is held by another transaction")
        row = self._store.rows.get(instance.key)
        if row is None or row.instance.epoch != instance.epoch:
            raise LostClaim
        self._row = row
        self._fresh = True

    def is_transient(self, error: Exception) -> bool:
        """See ports.Transaction."""
        return isinstance(error, Transient)

    async def allow_idle(self, seconds: float) -> None:
        """See ports.Transaction."""

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        """See ports.Transaction."""
        self._check_open()
        row = self._row
        if row is None:
            raise LostClaim
        if self._fresh:
            current = self._store.rows[instance.key]
            row = self._row = Row(
                _copy(current.instance), current.lease_until, current.due_at, current.machine_due_at
            )
            self._fresh = False
        stored = row.instance
        if (stored.epoch, stored.version) != (instance.epoch, instance.version):
            raise LostClaim
        journal = self._store.journals.get((instance.key, instance.run), {})
        if len({entry.key for entry in checkpoint.entries}) < len(checkpoint.entries):
            raise ValueError("one statement cannot write a row twice")
        for entry in checkpoint.entries:
            if entry.key in journal and journal[entry.key].finished:
                raise LostClaim
            self._entries.append((instance.key, instance.run, entry))
        self._messages.extend((instance.key, message) for message in checkpoint.messages)
        self._write_beside(instance, checkpoint)
        stored.version += 1
        stored.run = instance.run
        stored.started_at = instance.started_at
        stored.rollback = instance.rollback
        stored.ending = instance.ending
        stored.control = instance.control
        stored.restart = instance.restart
        stored.status = checkpoint.status
        stored.updated_at = checkpoint.now
        stored.event_sequence = checkpoint.event_sequence
        stored.wake_at = checkpoint.wake_at
        stored.output = checkpoint.output
        stored.error = checkpoint.error
        stored.finished_at = checkpoint.finished_at
        if checkpoint.progress:
            stored.claims_without_progress = 0
        lease_seconds = checkpoint.lease_seconds
        machine_now = self._store.monotonic()
        row.wakes = 0
        row.lease_until = machine_now + lease_seconds if lease_seconds else None
        row.machine_due_at = None if lease_seconds is None else machine_now + lease_seconds + 1
        row.due_at = checkpoint.due_at if lease_seconds is None else None
        return Committed(
            version=stored.version,
            generation=stored.generation,
            unread=tuple(
                message.seq
                for message in self._store.inbox.unread(instance.key)
                if message.seq not in checkpoint.taken
            ),
        )

    def _write_beside(self, instance: Instance, checkpoint: Checkpoint) -> None:
        inbox, taken = self._store.inbox, checkpoint.taken
        if taken:
            self._after.append(lambda: inbox.read(taken))
        if checkpoint.keep_before is not None:
            for entry in self._store.entries(instance.key, instance.run - 1):
                if main_position(entry) < checkpoint.keep_before:
                    self._entries.append((instance.key, instance.run, entry))

    async def tell(self, notice: Notice) -> None:
        """See ports.Transaction."""
        self._after.append(lambda: self._store.inbox.keep(notice.to, [notice.message]))

    async def commit(self) -> None:
        """See ports.Transaction."""
        self._check_open()
        if self._row is not None:
            self._store.rows[self._row.instance.key] = self._row
        for key, run, entry in self._entries:
            self._store.journals.setdefault((key, run), {})[entry.key] = entry
            if entry.state == "calling":
                self._store.attempted[key, run, entry.key] = self._store.monotonic()
        for key, message in self._messages:
            self._store.outbox[message.id] = (key, message)
        for effect in self._after:
            effect()
        self._store.effects.extend(self._connection.statements)
        self._connection.statements.clear()
        self.end()

    def cut_off(self) -> None:
        """Ends it from the other side."""
        self._cut_off = True
        self.end()

    def _check_open(self) -> None:
        if self._cut_off:
            raise Transient("the server has cut this transaction off")

    def end(self) -> None:
        """Lets the instance go."""
        held, self._held = self._held, None
        if held is not None:
            left = abs(self._store.held.pop(held)) - 1
            if left:
                self._store.held[held] = left

    def _hold(self, key: InstanceKey, *, shared: bool = False) -> bool:
        holders = self._store.held.get(key, 0)
        if holders < 0 or (holders > 0 and not shared):
            return False
        self._store.held[key] = holders + 1 if shared else -1
        self._held = key
        return True

    def _refusal(self, row: Row | None, request: ClaimRequest, *, held: bool) -> Refusal:
        if row is None:
            return Refusal(reason="absent" if request.start is None else "busy", held=held)
        left = (row.lease_until or 0) - self._store.monotonic()
        claimable = _claimable(row, request.now, self._store)
        reason = "busy" if claimable else _reason(row.instance, request.now, left)
        return Refusal(
            reason=reason,
            held=held,
            parent=row.instance.parent,
            retry_seconds=left if reason == "leased" else None,
        )


def _copy(instance: Instance) -> Instance:
    return msgspec.structs.replace(instance)


def _new_row(request: ClaimRequest) -> Row:
    start = request.start
    if start is None:
        raise ValueError("a wake makes no instance")
    return Row(
        Instance(
            key=request.key,
            run=1,
            epoch=1,
            generation=1,
            version=0,
            status=Status.RUNNING,
            input=start.input,
            actor=start.actor,
            idempotency_key=start.idempotency_key,
            body_hash=start.body_hash,
            event_sequence=0,
            claims_without_progress=int(request.redelivered),
            created_at=start.created_at,
            updated_at=request.now,
            started_at=request.now,
            parent=start.parent,
            trace=start.trace,
        )
    )


def _reason(instance: Instance, now: datetime, lease_left: float) -> str:
    if instance.status.ended:
        return "ended"
    if instance.wake_at is not None and instance.wake_at > now:
        return "parked"
    if instance.status is Status.PAUSED:
        return "paused"
    return "leased" if lease_left > 0 else "busy"


def _claimable(row: Row, now: datetime, store: MemoryStore) -> bool:
    instance, inbox = row.instance, store.inbox
    key = instance.key
    if instance.status.ended and not any(
        _still_obeyed(message, instance) for message in inbox.unread(key)
    ):
        return False
    if (
        instance.status is Status.PAUSED
        and instance.wake_at is None
        and not inbox.holds(key, "control")
    ):
        return False
    if instance.wake_at is not None and instance.wake_at > now and not inbox.holds(key):
        return False
    return row.lease_until is None or row.lease_until <= store.monotonic()


def _still_obeyed(message: InboxMessage, ended: Instance) -> bool:
    """A restart, or the resume of what poison ended."""
    if message.category != "control":
        return False
    poisoned = ended.error is not None and ended.error.name == POISONED
    return message.type == "restart" or (message.type == "resume" and poisoned)


def _is_due(row: Row, now: datetime, machine_now: float) -> bool:
    if row.machine_due_at is not None:
        return row.machine_due_at <= machine_now
    return row.due_at is not None and row.due_at <= now
