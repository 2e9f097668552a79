"""The inbox in memory: signals, controls and notices, by instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from msgspec.structs import replace

from shared.workflow.records import InboxMessage, InstanceKey

FIRST_LOOK_SECONDS = 4.0


@dataclass
class Row:
    """A message with what its table has beside it."""

    key: InstanceKey
    message: InboxMessage
    due_at: float
    wakes: int = 0
    read: bool = False


class MemoryInbox:
    """See the table inbox."""

    def __init__(self, monotonic: Callable[[], float]):
        self.monotonic = monotonic
        self.rows: dict[tuple[InstanceKey, str, str], Row] = {}
        self._seqs = count(1)

    def keep(self, key: InstanceKey, messages: Iterable[InboxMessage]) -> None:
        """Adds what is not there yet."""
        for message in messages:
            place = (key, message.category, message.message_id)
            if place not in self.rows:
                self.rows[place] = Row(
                    key,
                    replace(message, seq=next(self._seqs)),
                    self.monotonic() + FIRST_LOOK_SECONDS,
                )

    def unread(self, key: InstanceKey) -> list[InboxMessage]:
        """What nobody has read, in the order of its streams."""
        found = [row.message for row in self.rows.values() if row.key == key and not row.read]
        return sorted(found, key=lambda each: (each.position, each.seq))

    def read(self, seqs: Sequence[int]) -> None:
        """Marks messages as read."""
        for row in self.rows.values():
            row.read = row.read or row.message.seq in seqs

    def holds(self, key: InstanceKey, category: str | None = None, *types: str) -> bool:
        """Whether an unread message of the category, and of one of the types, is there."""
        return any(
            category in {None, message.category} and (not types or message.type in types)
            for message in self.unread(key)
        )

    def take_due(self, limit: int) -> list[InstanceKey]:
        """Whose messages have waited for a reader."""
        now = self.monotonic()
        due = [row for row in self.rows.values() if not row.read and row.due_at <= now][:limit]
        for row in due:
            row.due_at = now + (min(60, 4 * 2**row.wakes) if row.wakes < 10 else 3600)
            row.wakes += 1
        return [row.key for row in due]

    def unclaimed(self, before: datetime, limit: int) -> list[Row]:
        """Unread messages that came before an instant."""
        found = (
            row for row in self.rows.values() if not row.read and row.message.created_at < before
        )
        return sorted(found, key=lambda row: row.message.created_at)[:limit]
