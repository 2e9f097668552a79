"""A transaction on one instance in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.testing.memory_tables import (
    MemoryTables,
    Row,
    Statement,
    copy_of,
    is_claimable,
    new_row,
    refusal_reason,
)
from shared.workflow.branch import main_position
from shared.workflow.errors import LostClaim, Transient
from shared.workflow.ports import Connection
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    Entry,
    Instance,
    InstanceKey,
    Notice,
    OutboxMessage,
    Refusal,
)


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


class MemoryTransaction:
    """See ports.Transaction. What it does takes effect at `commit`."""

    def __init__(self, tables: MemoryTables):
        self._tables = tables
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
        row = self._tables.rows.get(key)
        if not self._hold(key):
            return self._refusal(row, request, held=True)
        if row is None:
            if request.start is None:
                return Refusal(reason="absent")
            self._row = new_row(request)
            return Claim(
                instance=copy_of(self._row.instance),
                created=True,
                taken_over=False,
                unread=self._tables.inbox.holds(key),
            )
        if not is_claimable(row, request.now, self._tables):
            return self._refusal(row, request, held=False)
        instance = copy_of(row.instance)
        instance.epoch += 1
        taken_over = row.lease_until is not None
        instance.claims_without_progress += int(request.redelivered or taken_over)
        self._row = Row(instance, row.lease_until, row.due_at, row.machine_due_at, row.wakes)
        return Claim(
            instance=copy_of(instance),
            created=False,
            taken_over=taken_over,
            unread=self._tables.inbox.holds(key),
        )

    async def journal(self, key: InstanceKey, run: int) -> list[Entry]:
        """See ports.Transaction."""
        return self._tables.entries(key, run)

    async def lock(self, instance: Instance, *, shared: bool = False) -> None:
        """See ports.Transaction."""
        if not self._hold(instance.key, shared=shared):
            raise Transient(f"{instance.key} is held by another transaction")
        row = self._tables.rows.get(instance.key)
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
            current = self._tables.rows[instance.key]
            row = self._row = Row(
                copy_of(current.instance),
                current.lease_until,
                current.due_at,
                current.machine_due_at,
            )
            self._fresh = False
        stored = row.instance
        if (stored.epoch, stored.version) != (instance.epoch, instance.version):
            raise LostClaim
        journal = self._tables.journals.get((instance.key, instance.run), {})
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
        machine_now = self._tables.monotonic()
        row.wakes = 0
        row.lease_until = machine_now + lease_seconds if lease_seconds else None
        row.machine_due_at = None if lease_seconds is None else machine_now + lease_seconds + 1
        row.due_at = checkpoint.due_at if lease_seconds is None else None
        return Committed(
            version=stored.version,
            generation=stored.generation,
            unread=tuple(
                message.seq
                for message in self._tables.inbox.unread(instance.key)
                if message.seq not in checkpoint.taken
            ),
        )

    def _write_beside(self, instance: Instance, checkpoint: Checkpoint) -> None:
        inbox, taken = self._tables.inbox, checkpoint.taken
        if taken:
            self._after.append(lambda: inbox.read(taken))
        if checkpoint.keep_before is not None:
            for entry in self._tables.entries(instance.key, instance.run - 1):
                if main_position(entry) < checkpoint.keep_before:
                    self._entries.append((instance.key, instance.run, entry))

    async def tell(self, notice: Notice) -> None:
        """See ports.Transaction."""
        self._after.append(lambda: self._tables.inbox.keep(notice.to, [notice.message]))

    async def commit(self) -> None:
        """See ports.Transaction."""
        self._check_open()
        if self._row is not None:
            self._tables.rows[self._row.instance.key] = self._row
        for key, run, entry in self._entries:
            self._tables.journals.setdefault((key, run), {})[entry.key] = entry
            if entry.state == "calling":
                self._tables.attempted[key, run, entry.key] = self._tables.monotonic()
        for key, message in self._messages:
            self._tables.outbox[message.id] = (key, message)
        for effect in self._after:
            effect()
        self._tables.effects.extend(self._connection.statements)
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
            left = abs(self._tables.held.pop(held)) - 1
            if left:
                self._tables.held[held] = left

    def _hold(self, key: InstanceKey, *, shared: bool = False) -> bool:
        holders = self._tables.held.get(key, 0)
        if holders < 0 or (holders > 0 and not shared):
            return False
        self._tables.held[key] = holders + 1 if shared else -1
        self._held = key
        return True

    def _refusal(self, row: Row | None, request: ClaimRequest, *, held: bool) -> Refusal:
        if row is None:
            return Refusal(reason="absent" if request.start is None else "busy", held=held)
        left = (row.lease_until or 0) - self._tables.monotonic()
        claimable = is_claimable(row, request.now, self._tables)
        reason = "busy" if claimable else refusal_reason(row.instance, request.now, left)
        return Refusal(
            reason=reason,
            held=held,
            parent=row.instance.parent,
            retry_seconds=left if reason == "leased" else None,
        )
