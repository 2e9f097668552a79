"""What commits together: an open transaction, if there is one, and what has gathered for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from shared.workflow.facts import Fact
from shared.workflow.ports import InstanceStore, Transaction
from shared.workflow.records import Entry, Notice, OutboxMessage


class Segment:
    """Steps that follow one another and commit together (engine rule 8).

    That of the main path holds the claim; a branch has one of its own, whose transaction takes one
    of the `slots`, so that a thousand branches do not wait for connections until they time out.
    """

    def __init__(
        self,
        store: InstanceStore,
        monotonic: Callable[[], float],
        slots: asyncio.Semaphore | None = None,
    ):
        self._store = store
        self._monotonic = monotonic
        self._slots = slots
        self._scope: AbstractAsyncContextManager[Transaction] | None = None
        self.transaction: Transaction | None = None
        self.opened_at = 0.0
        self.entries: list[Entry] = []
        self.messages: list[OutboxMessage] = []
        self.facts: list[Fact] = []
        self.taken: list[int] = []
        """Rows of the inbox that the entries speak of."""

    @property
    def shared(self) -> bool:
        """Whether other segments of the same run are open beside it."""
        return self._slots is not None

    @property
    def age_seconds(self) -> float:
        """Machine time since the transaction began; 0 when none is open."""
        return self._monotonic() - self.opened_at if self.transaction else 0.0

    def branch_off(self, slots: asyncio.Semaphore) -> Segment:
        """An empty segment for a branch."""
        return Segment(self._store, self._monotonic, slots)

    async def begin(self) -> Transaction:
        """Opens the transaction."""
        if self._slots is not None:
            await self._slots.acquire()
        scope = self._store.transaction()
        try:
            self.transaction = await scope.__aenter__()
        except BaseException:
            if self._slots is not None:
                self._slots.release()
            raise
        self._scope = scope
        self.opened_at = self._monotonic()
        return self.transaction

    async def commit(self) -> None:
        """Commits and gives the connection back. Raises Transient when that is not certain."""
        if self.transaction is not None:
            try:
                await self.transaction.commit()
            finally:
                await self.end()

    async def tell(self, notices: Iterable[Notice]) -> None:
        """Writes notices to other instances with what is about to be committed."""
        if self.transaction is not None:
            for notice in notices:
                await self.transaction.tell(notice)

    async def end(self) -> None:
        """Gives the connection back, rolling back what was not committed."""
        scope, self._scope, self.transaction = self._scope, None, None
        if scope is not None:
            try:
                await scope.__aexit__(None, None, None)
            finally:
                if self._slots is not None:
                    self._slots.release()

    def clear(self) -> None:
        """Forgets what had gathered."""
        self.entries.clear()
        self.messages.clear()
        self.facts.clear()
        self.taken.clear()

    def absorb(self, other: Segment) -> None:
        """Takes over what had gathered in a segment that has no transaction."""
        self.entries += other.entries
        self.messages += other.messages
        self.facts += other.facts
        self.taken += other.taken
        other.clear()
