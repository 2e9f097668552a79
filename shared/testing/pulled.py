"""Messages that a harness has pulled, and their deliveries: it hands them over again itself, so
that no test waits for a server's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.workflow.ports import Delivery, Predecessor
from shared.workflow.records import StreamPosition

ACK_WAIT_SECONDS = 30.0


@dataclass
class Pulled:
    """A message, from its pull to its end."""

    inner: Delivery
    deliveries: int = 0
    again_at: float = 0.0
    """When it is handed over next, in machine time."""
    settled: bool = False


class PulledDelivery:
    """One delivery of it; see ports.Delivery. What nobody settles comes again."""

    def __init__(self, pulled: Pulled, monotonic: Callable[[], float]):
        pulled.deliveries += 1
        pulled.again_at = monotonic() + ACK_WAIT_SECONDS
        self.attempt = pulled.deliveries
        self._pulled = pulled
        self._inner = pulled.inner
        self._monotonic = monotonic

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
    def origin(self) -> str:
        """The inner one's."""
        return self._inner.origin

    @property
    def position(self) -> StreamPosition:
        """The inner one's."""
        return self._inner.position

    async def before(self) -> Sequence[Predecessor]:
        """The inner one's."""
        return await self._inner.before()

    async def ack(self) -> None:
        """Settles the message, whichever delivery says so."""
        if not self._pulled.settled:
            await self._inner.ack()
            self._pulled.settled = True

    async def nak(self, delay_seconds: float) -> None:
        """Again after the delay, unless it has been handed over again already."""
        if self._pulled.deliveries == self.attempt:
            self._pulled.again_at = self._monotonic() + delay_seconds

    async def term(self, reason: str) -> None:
        """As ack."""
        if not self._pulled.settled:
            await self._inner.term(reason)
            self._pulled.settled = True
