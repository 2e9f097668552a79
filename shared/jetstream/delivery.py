"""One delivery of a JetStream message."""

from __future__ import annotations

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.jetstream.patience import PASSING
from shared.workflow.errors import Transient


class JetStreamDelivery:
    """See ports.Delivery."""

    def __init__(self, client: Client, message: Msg, stream_created: str):
        self._client = client
        self._message = message
        self._stream_created = stream_created
        self._metadata = message.metadata

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._message.subject

    @property
    def body(self) -> bytes:
        """What was published."""
        return self._message.data

    @property
    def headers(self) -> dict[str, str]:
        """Its headers; empty when it has none."""
        return self._message.headers or {}

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        return self._metadata.num_delivered or 1

    @property
    def origin(self) -> str:
        """Stream, its creation time and the sequence.

        The time is part of it because a stream that was lost and made again counts from 1.
        """
        metadata = self._metadata
        return f"{metadata.stream}/{self._stream_created}/{metadata.sequence.stream}"

    async def ack(self) -> None:
        """Done: never again."""
        await self._settle(b"+ACK")

    async def nak(self, delay_seconds: float) -> None:
        """Again after the delay."""
        await self._settle(b'-NAK {"delay": %d}' % int(delay_seconds * 1_000_000_000))

    async def term(self, reason: str) -> None:
        """Never again, and not because it was done."""
        await self._settle(b"+TERM " + reason.encode())

    async def in_progress(self) -> None:
        """Still at work: starts ack_wait anew."""
        await self._settle(b"+WPI")

    async def _settle(self, word: bytes) -> None:
        try:
            await self._client.publish(self._message.reply, word)
        except PASSING as error:
            raise Transient(
                f"settle {self.origin}: {str(error) or type(error).__name__}"
            ) from error
