"""One path of a run: what the journal holds of it and how far the code has come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from math import inf
from random import Random
from typing import Any, NamedTuple, TypeVar

from shared.messages.workflows import ErrorInfo
from shared.workflow.errors import DeadContext, Interruption, JournalMismatch, WorkflowMisuse
from shared.workflow.records import Entry, EntryKey, Instance
from shared.workflow.segment import Segment

I = TypeVar("I", bound=Interruption)  # noqa: E741 - an interruption

UNDO = "undo"
"""The path of compensations."""


def main_position(entry: Entry) -> float:
    """Place on the main path of an entry, or of the branches that hold it; compensations have
    none."""
    if entry.path == "":
        return entry.position
    return inf if entry.path.startswith(UNDO) else int(entry.path.partition(".")[0])


class Slot(NamedTuple):
    """Where the next operation stands, and what an earlier run recorded of it."""

    key: EntryKey
    position: int
    operation: str
    ordinal: int
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
            ordinal=self.ordinal,
            started_at=started_at,
            finished_at=finished_at,
            due_at=due_at,
            result=result,
            error=error,
        )


class Branch:
    """Positions, instant and random stream of one path; the same on every replay (rule 21)."""

    def __init__(
        self,
        instance: Instance,
        path: str,
        entries: Iterable[Entry],
        segment: Segment,
        parent: Branch | None = None,
    ):
        self.path = path
        self.now: datetime = parent.now if parent else instance.started_at
        self.segment = segment
        self.stopped = False
        """It must begin nothing more (rule 10)."""
        self.entered: str | None = None
        """The operation that runs now."""
        self.task: asyncio.Task[Any] | None = None
        """Who is inside it."""
        self._seed = f"{instance.key}/{instance.run}/{path}"
        self._recorded = sorted(
            (entry for entry in entries if entry.path == path), key=lambda entry: entry.position
        )
        self._position = 0
        self._occurrences: Counter[str] = Counter()
        self._patches: dict[str, bool] = {}
        self._parent = parent
        self._abandoned = False
        self._interruption: Interruption | None = None

    @cached_property
    def random(self) -> Random:
        """The path's own stream; made when it is asked for, since most runs never do."""
        return Random(self._seed)

    def take(self, name: str, operation: str, ordinal: int) -> Slot:
        """The next place on the path; `ordinal` is for an operation that begins.

        Raises JournalMismatch when another operation stands there: names are compared, arguments
        never are (rule 22).
        """
        recorded = self._next
        if recorded is not None and (recorded.name, recorded.type) != (name, operation):
            raise JournalMismatch(f"{recorded.type} {recorded.name!r}", f"{operation} {name!r}")
        slot = Slot(
            EntryKey(self.path, name, self._occurrences[name]),
            self._position,
            operation,
            recorded.ordinal if recorded else ordinal,
            recorded,
        )
        self._position += 1
        self._occurrences[name] += 1
        return slot

    def is_patched(self, name: str) -> bool | None:
        """Whether a patch applies to this run: decided once, by what the journal has where the code
        asks first. None where it has nothing yet: then it applies, and is to be journaled."""
        if name not in self._patches:
            recorded = self._next
            if recorded is None:
                self._patches[name] = True
                return None
            applies = (recorded.type, recorded.name) == ("patch", name)
            if applies:
                self.take(name, "patch", 0)
            self._patches[name] = applies
        return self._patches[name]

    def advance(self, entry: Entry) -> None:
        """Takes the instant of a finished operation as the path's."""
        if entry.finished_at is not None:
            self.now = entry.finished_at

    def check_used_up(self) -> None:
        """Raises JournalMismatch when the code returned before the journal's end."""
        left = self._next
        if left is not None:
            raise JournalMismatch(f"{left.type} {left.name!r}", "the end of run()")

    @contextmanager
    def entering(self, name: str) -> Generator[None]:
        """Around each operation."""
        self.entered, self.task = name, asyncio.current_task()
        try:
            yield
        finally:
            self.entered = self.task = None

    def interrupted(self, interruption: I) -> I:
        """Ends this path alone; the caller raises what is returned."""
        self._interruption = interruption
        return interruption

    def check_alive(self) -> None:
        """Raises WorkflowMisuse once the path's code has ended, DeadContext once the path has been
        interrupted (rule 20)."""
        if self.abandoned:
            raise WorkflowMisuse("a context was used after the code that it was given to had ended")
        if self._interruption is not None:
            raise DeadContext

    def raise_if_interrupted(self) -> None:
        """Keeps code that caught an interruption from going on (rule 20)."""
        if self._interruption is not None:
            raise self._interruption

    @property
    def abandoned(self) -> bool:
        """Whether its code has ended, so that what it left behind is of no consequence."""
        return self._abandoned or (self._parent is not None and self._parent.abandoned)

    def abandon(self) -> None:
        """Says that its code has ended."""
        self._abandoned = True

    @property
    def _next(self) -> Entry | None:
        """What an earlier run recorded at the next place."""
        if self._position < len(self._recorded):
            return self._recorded[self._position]
        return None
