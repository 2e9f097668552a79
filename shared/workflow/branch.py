"""One path of a run: what the journal holds of it and how far the code has come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

from shared.messages.workflows import ErrorInfo
from shared.workflow.errors import JournalMismatch, WorkflowMisuse
from shared.workflow.records import Entry, EntryKey, Instance


class Slot(NamedTuple):
    """Where the next operation stands, and what an earlier run recorded of it."""

    key: EntryKey
    position: int
    operation: str
    recorded: Entry | None

    @property
    def attempt(self) -> int:
        """Number of the attempt that is to be made, from 1."""
        return self.recorded.attempts + 1 if self.recorded else 1

    def entry(
        self,
        state: str,
        *,
        started_at: datetime,
        attempts: int = 1,
        finished_at: datetime | None = None,
        due_at: datetime | None = None,
        result: bytes | None = None,
        error: ErrorInfo | None = None,
    ) -> Entry:
        """A row of the journal for this place."""
        return Entry(
            path=self.key.path,
            name=self.key.name,
            occurrence=self.key.occurrence,
            position=self.position,
            type=self.operation,
            state=state,
            attempts=attempts,
            started_at=started_at,
            finished_at=finished_at,
            due_at=due_at,
            result=result,
            error=error,
        )


class Branch:
    """Positions, instant and random stream of one path; the same on every replay (rule 21)."""

    def __init__(self, instance: Instance, path: str, entries: Iterable[Entry]):
        self.path = path
        self.now: datetime = instance.started_at
        self._seed = f"{instance.key}/{instance.run}/{path}"
        self._recorded = sorted(
            (entry for entry in entries if entry.path == path), key=lambda entry: entry.position
        )
        self._position = 0
        self._occurrences: Counter[str] = Counter()
        self._entered: str | None = None
        self.task: asyncio.Task[Any] | None = None
        """Who is inside an operation now."""

    @cached_property
    def random(self) -> Random:
        """The path's own stream; made when it is asked for, since most runs never do."""
        return Random(self._seed)

    def take(self, name: str, operation: str) -> Slot:
        """The next place on the path. Raises JournalMismatch when another operation stands there.

        Names are compared, arguments never are (rule 22).
        """
        position = self._position
        recorded = self._recorded[position] if position < len(self._recorded) else None
        occurrence = self._occurrences[name]
        if recorded is not None and (recorded.name, recorded.type) != (name, operation):
            raise JournalMismatch(f"{recorded.type} {recorded.name!r}", f"{operation} {name!r}")
        self._position += 1
        self._occurrences[name] += 1
        return Slot(EntryKey(self.path, name, occurrence), position, operation, recorded)

    def advance(self, entry: Entry) -> None:
        """Takes the instant of a finished operation as the path's."""
        if entry.finished_at is not None:
            self.now = entry.finished_at

    def check_used_up(self) -> None:
        """Raises JournalMismatch when the code returned before the journal's end, WorkflowMisuse
        when it did so during an operation."""
        if self._entered is not None:
            raise WorkflowMisuse(f"run() returned while {self._entered!r} was running: await it")
        if self._position < len(self._recorded):
            left = self._recorded[self._position]
            raise JournalMismatch(f"{left.type} {left.name!r}", "the end of run()")

    @contextmanager
    def entering(self, name: str) -> Generator[None]:
        """Refuses an operation that starts while another runs on the same path (rule 10)."""
        if self._entered is not None:
            raise WorkflowMisuse(
                f"{name!r} started while {self._entered!r} was running on the same context: "
                "await one operation before the next"
            )
        self._entered, self.task = name, asyncio.current_task()
        try:
            yield
        finally:
            self._entered = self.task = None
