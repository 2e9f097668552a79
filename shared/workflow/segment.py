"""The open transaction of a run, if there is one, and since when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from shared.workflow.ports import InstanceStore, Transaction


class Segment:
    """Steps that follow one another and commit together (engine rule 8)."""

    def __init__(self, store: InstanceStore, monotonic: Callable[[], float]):
        self._store = store
        self._monotonic = monotonic
        self._scope: AbstractAsyncContextManager[Transaction] | None = None
        self.transaction: Transaction | None = None
        self.opened_at = 0.0

    @property
    def age_seconds(self) -> float:
        """Machine time since the transaction began; 0 when none is open."""
        return self._monotonic() - self.opened_at if self.transaction else 0.0

    async def begin(self) -> Transaction:
        """Opens the transaction."""
        scope = self._store.transaction()
        self.transaction = await scope.__aenter__()
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

    async def end(self) -> None:
        """Gives the connection back, rolling back what was not committed."""
        scope, self._scope, self.transaction = self._scope, None, None
        if scope is not None:
            await scope.__aexit__(None, None, None)
