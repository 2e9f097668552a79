"""Deliveries and a publisher in memory: what is settled and stored is there to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.workflow.ports import Predecessor
from shared.workflow.records import OutboxMessage, StreamPosition


@dataclass
class MemoryPublisher:
    """See ports.Publisher. `stored` is what consumers would see, repeats of an id dropped."""

    stored: dict[str, OutboxMessage] = field(default_factory=dict[str, OutboxMessage])

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """See ports.Publisher."""
        for message in messages:
            self.stored.setdefault(message.id or f"unnamed-{len(self.stored)}", message)


@dataclass
class MemoryDelivery:
    """See ports.Delivery. `settled` says how, once it is."""

    subject: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    attempt: int = 1
    origin: str = "MEMORY/0/1"
    earlier: Sequence[Predecessor] = ()
    settled: str | None = None
    delay_seconds: float | None = None

    @property
    def position(self) -> StreamPosition:
        """See ports.Delivery."""
        _, created, sequence = self.origin.split("/")
        return StreamPosition(created, int(sequence) if sequence.isdigit() else 0)

    async def before(self) -> Sequence[Predecessor]:
        """See ports.Delivery."""
        return self.earlier

    async def ack(self) -> None:
        """See ports.Delivery."""
        self._settle("ack")

    async def nak(self, delay_seconds: float) -> None:
        """See ports.Delivery."""
        self.delay_seconds = delay_seconds
        self._settle("nak")

    async def term(self, reason: str) -> None:
        """See ports.Delivery."""
        self._settle(f"term {reason}")

    def _settle(self, word: str) -> None:
        if self.settled is not None:
            raise AssertionError(f"settled twice: {self.settled}, then {word}")
        self.settled = word
