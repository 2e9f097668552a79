"""The engine's tables in memory, and what their rows answer to a claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from shared.messages.workflows import Status
from shared.testing.memory_inbox import MemoryInbox
from shared.workflow.controls import POISONED
from shared.workflow.records import (
    ClaimRequest,
    DeadLetter,
    Entry,
    EntryKey,
    InboxMessage,
    Instance,
    InstanceKey,
    OutboxMessage,
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


class MemoryTables:
    """What is committed, and who holds which instance now."""

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


def copy_of(instance: Instance) -> Instance:
    """For somebody else to change."""
    return msgspec.structs.replace(instance)


def new_row(request: ClaimRequest) -> Row:
    """What a start makes."""
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


def refusal_reason(instance: Instance, now: datetime, lease_left: float) -> str:
    """Why an instance cannot be claimed."""
    if instance.status.ended:
        return "ended"
    if instance.wake_at is not None and instance.wake_at > now:
        return "parked"
    if instance.status is Status.PAUSED:
        return "paused"
    return "leased" if lease_left > 0 else "busy"


def is_claimable(row: Row, now: datetime, tables: MemoryTables) -> bool:
    """See statements._CLAIMABLE."""
    instance, inbox = row.instance, tables.inbox
    key = instance.key
    if instance.status.ended and not any(
        still_obeyed(message, instance) for message in inbox.unread(key)
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
    return row.lease_until is None or row.lease_until <= tables.monotonic()


def still_obeyed(message: InboxMessage, ended: Instance) -> bool:
    """A restart, or the resume of what poison ended."""
    if message.category != "control":
        return False
    poisoned = ended.error is not None and ended.error.name == POISONED
    return message.type == "restart" or (message.type == "resume" and poisoned)


def is_due(row: Row, now: datetime, machine_now: float) -> bool:
    """Whether someone must look at the instance."""
    if row.machine_due_at is not None:
        return row.machine_due_at <= machine_now
    return row.due_at is not None and row.due_at <= now
