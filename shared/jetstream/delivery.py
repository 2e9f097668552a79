"""One delivery of a JetStream message."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.jetstream.connection import REQUEST_SECONDS
from shared.jetstream.patience import PASSING, patiently
from shared.workflow.errors import Transient
from shared.workflow.ports import Predecessor
from shared.workflow.records import StreamPosition


class _Message(msgspec.Struct):
    seq: int
    data: bytes = b""
    hdrs: bytes = b""


class _Answer(msgspec.Struct):
    message: _Message | None = None
    """Left out where there is none."""


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

    @property
    def position(self) -> StreamPosition:
        """Where it stands in its stream."""
        return StreamPosition(self._stream_created, self._metadata.sequence.stream)

    async def before(self) -> list[Predecessor]:
        """Those of the same subject that are stored before it, which in a work queue are those
        that nobody has settled. Raises Transient.

        Asked of the stream's leader: a follower may not have them yet.
        """
        found: list[Predecessor] = []
        sequence = 0
        while True:
            message = await self._next(sequence + 1)
            if message is None or message.seq >= self.position.sequence:
                return found
            sequence = message.seq
            found.append(
                Predecessor(
                    StreamPosition(self._stream_created, sequence),
                    _headers(message.hdrs),
                    message.data,
                )
            )

    async def _next(self, sequence: int) -> _Message | None:
        """The first message of the subject from `sequence` on."""
        stream = self._metadata.stream
        body = msgspec.json.encode({"seq": sequence, "next_by_subj": self.subject})

        async def attempt() -> bytes:
            reply = await self._client.request(
                f"$JS.API.STREAM.MSG.GET.{stream}", body, timeout=REQUEST_SECONDS
            )
            return reply.data

        answer = await patiently(f"read {self.subject}", attempt)
        return msgspec.json.decode(answer, type=_Answer).message

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


def _headers(block: bytes) -> dict[str, str]:
    """Headers as the server keeps them: a line of its own, then one each."""
    lines = block.partition(b"\r\n")[2]
    return dict(BytesParser(policy=HTTP).parsebytes(lines).items())
