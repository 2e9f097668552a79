"""In-memory twin of the engine's store; the conformance suite holds it to the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from shared.testing.memory_tables import MemoryTables, copy_of, is_due, still_obeyed
from shared.testing.memory_transaction import MemoryTransaction
from shared.workflow.inbox import stray_letter
from shared.workflow.records import (
    DeadLetter,
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    OutboxMessage,
)


class MemoryStore(MemoryTables):
    """See ports.InstanceStore."""

    def __init__(self, monotonic: Callable[[], float]):
        super().__init__(monotonic)
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
        return copy_of(row.instance), self.entries(key, row.instance.run)

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
        stray = [each for each in self.inbox.unread(key) if not still_obeyed(each, row.instance)]
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
        due = [key for key, row in self.rows.items() if is_due(row, now, machine_now)][:limit]
        for key in due:
            row = self.rows[key]
            row.due_at = None
            row.machine_due_at = machine_now + min(60, 4 * 2 ** min(row.wakes, 4))
            row.wakes += 1
        return list(dict.fromkeys([*due, *self.inbox.take_due(limit)]))
