"""What a channel is, and what it says when a letter did not get through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from shared.messages.notices import Notice

ChannelName = Literal["mail", "webhook"]


@dataclass(frozen=True)
class Letter:
    """One notice for one channel."""

    id: str
    """The same on every repetition and in every process, so that a receiver can tell one."""
    service: str
    notice: Notice
    created_at: datetime
    address: str | None
    """Where the recipient is reached; None for a channel that needs no address."""


class Undeliverable(Exception):
    """The letter is refused for good. The text holds no address and no secret."""


class NotSent(Exception):
    """The letter may get through later. The text holds no address and no secret."""

    def __init__(self, reason: str, retry_after_seconds: float = 0.0):
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class Channel(Protocol):
    """One way out of the house."""

    @property
    def name(self) -> ChannelName: ...

    @property
    def needs_address(self) -> bool:
        """Whether a letter needs the recipient's address."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long `send` may take before it is cancelled."""
        ...

    async def send(self, letter: Letter) -> None:
        """Returns once the other side has taken it. Raises Undeliverable and NotSent."""
        ...
