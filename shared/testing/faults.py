"""Ports that cut a process off, or freeze it, at a point of one's choice.

The points are what the wrapped ports pass: before and after every commit, publish, put and
settlement. A new call on a port is a new point, so none has to be listed by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from fnmatch import fnmatch

from shared.testing.rig import DueStore
from shared.workflow.ports import (
    Connection,
    Delivery,
    Order,
    Predecessor,
    Publisher,
    StatusBucket,
    Transaction,
)
from shared.workflow.records import (
    Checkpoint,
    Claim,
    ClaimRequest,
    Committed,
    DeadLetter,
    Entry,
    InboxMessage,
    Instance,
    InstanceKey,
    Notice,
    OutboxMessage,
    Refusal,
    StreamPosition,
)


class Cut(BaseException):
    """The process ended here, as by kill -9."""


class Faults:
    """The points that one process passes; at `at` it is cut off, or frozen.

    `at` is a number from 0, or a pattern that the first such point's name has: "after commit",
    "before publish events.*".
    """

    def __init__(self, at: int | str | None = None, *, freeze: bool = False):
        self.passed: list[str] = []
        self.reached = asyncio.Event()
        self.thaw = asyncio.Event()
        self._at = at
        self._freeze = freeze
        self._dead = False

    async def reach(self, point: str) -> None:
        """Passes a point. Raises Cut at the chosen one, and ever after."""
        if self._dead:
            raise Cut(point)
        number = len(self.passed)
        self.passed.append(point)
        if self._at == number or (isinstance(self._at, str) and fnmatch(point, self._at)):
            self.reached.set()
            if not self._freeze:
                self._dead = True
                raise Cut(point)
        if self._freeze and self.reached.is_set():
            await self._stand_still()

    @property
    def freezes(self) -> bool:
        """Whether the process stands still at the point, rather than being cut off."""
        return self._freeze

    @asynccontextmanager
    async def around(self, call: str) -> AsyncGenerator[None]:
        """The points before and after one call."""
        await self.reach(f"before {call}")
        yield
        await self.reach(f"after {call}")

    async def _stand_still(self) -> None:
        """Until it is thawed; what would have ended the wait meanwhile does so then."""
        cancelled: asyncio.CancelledError | None = None
        while not self.thaw.is_set():
            try:
                await self.thaw.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled


class FaultyTransaction:
    """See ports.Transaction."""

    def __init__(self, inner: Transaction, faults: Faults):
        self._inner = inner
        self._faults = faults

    @property
    def connection(self) -> Connection:
        """The inner one's."""
        return self._inner.connection

    async def claim(self, request: ClaimRequest) -> Claim | Refusal:
        """Passes on."""
        return await self._inner.claim(request)

    async def journal(self, key: InstanceKey, run: int) -> list[Entry]:
        """Passes on."""
        return await self._inner.journal(key, run)

    async def lock(self, instance: Instance, *, shared: bool = False) -> None:
        """One point: until it is passed, another may take the instance."""
        await self._faults.reach("before lock")
        await self._inner.lock(instance, shared=shared)

    def is_transient(self, error: Exception) -> bool:
        """Passes on."""
        return self._inner.is_transient(error)

    async def allow_idle(self, seconds: float) -> None:
        """Passes on."""
        await self._inner.allow_idle(seconds)

    async def write(self, instance: Instance, checkpoint: Checkpoint) -> Committed:
        """Passes on."""
        return await self._inner.write(instance, checkpoint)

    async def tell(self, notice: Notice) -> None:
        """Passes on."""
        await self._inner.tell(notice)

    async def commit(self) -> None:
        """Two points."""
        async with self._faults.around("commit"):
            await self._inner.commit()


class FaultyStore:
    """See ports.InstanceStore."""

    def __init__(self, inner: DueStore, faults: Faults):
        self._inner = inner
        self._faults = faults

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """The inner one's, with points around its commit."""
        async with self._inner.transaction() as transaction:
            yield FaultyTransaction(transaction, self._faults)

    async def load(self, key: InstanceKey) -> tuple[Instance, list[Entry]] | None:
        """Passes on."""
        return await self._inner.load(key)

    async def unsent(self, key: InstanceKey) -> list[OutboxMessage]:
        """Passes on."""
        return await self._inner.unsent(key)

    async def mark_sent(self, ids: Iterable[str]) -> None:
        """Two points."""
        async with self._faults.around("mark_sent"):
            await self._inner.mark_sent(ids)

    async def flush_sent(self) -> None:
        """Two points."""
        async with self._faults.around("flush_sent"):
            await self._inner.flush_sent()

    async def bury(self, letter: DeadLetter) -> None:
        """Two points."""
        async with self._faults.around("bury"):
            await self._inner.bury(letter)

    async def keep(self, key: InstanceKey, messages: Sequence[InboxMessage]) -> None:
        """Two points."""
        async with self._faults.around("keep"):
            await self._inner.keep(key, messages)

    async def unread(self, key: InstanceKey) -> list[InboxMessage]:
        """Passes on."""
        return await self._inner.unread(key)

    async def bury_stray(self, key: InstanceKey) -> None:
        """Two points."""
        async with self._faults.around("bury_stray"):
            await self._inner.bury_stray(key)

    async def expire_unclaimed(self, before: datetime, limit: int) -> int:
        """Passes on."""
        return await self._inner.expire_unclaimed(before, limit)

    async def take_due(self, now: datetime, limit: int) -> list[InstanceKey]:
        """Two points."""
        async with self._faults.around("take_due"):
            return await self._inner.take_due(now, limit)


class FaultyPublisher:
    """See ports.Publisher."""

    def __init__(self, inner: Publisher, faults: Faults):
        self._inner = inner
        self._faults = faults

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Two points for each message, since a process may die between two of them."""
        for message in messages:
            async with self._faults.around(f"publish {message.subject}"):
                await self._inner.publish([message])


class FaultyStatusBucket:
    """See ports.StatusBucket."""

    def __init__(self, inner: StatusBucket, faults: Faults):
        self._inner = inner
        self._faults = faults

    async def put(
        self, key: InstanceKey, document: bytes, order: Order, revision: int | None
    ) -> int | None:
        """Two points."""
        async with self._faults.around("put"):
            return await self._inner.put(key, document, order, revision)


class FaultyDelivery:
    """See ports.Delivery."""

    def __init__(self, inner: Delivery, faults: Faults):
        self._inner = inner
        self._faults = faults

    @property
    def subject(self) -> str:
        """The inner one's."""
        return self._inner.subject

    @property
    def body(self) -> bytes:
        """The inner one's."""
        return self._inner.body

    @property
    def headers(self) -> dict[str, str]:
        """The inner one's."""
        return self._inner.headers

    @property
    def attempt(self) -> int:
        """The inner one's."""
        return self._inner.attempt

    @property
    def origin(self) -> str:
        """The inner one's."""
        return self._inner.origin

    @property
    def position(self) -> StreamPosition:
        """The inner one's."""
        return self._inner.position

    async def before(self) -> Sequence[Predecessor]:
        """Passes on."""
        return await self._inner.before()

    async def ack(self) -> None:
        """Two points."""
        async with self._faults.around("ack"):
            await self._inner.ack()

    async def nak(self, delay_seconds: float) -> None:
        """Two points."""
        async with self._faults.around("nak"):
            await self._inner.nak(delay_seconds)

    async def term(self, reason: str) -> None:
        """Two points."""
        async with self._faults.around("term"):
            await self._inner.term(reason)
