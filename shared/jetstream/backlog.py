"""What waits in a stream."""

from __future__ import annotations

from datetime import datetime

import msgspec
from nats.aio.client import Client

from shared.jetstream.connection import REQUEST_SECONDS
from shared.jetstream.patience import patiently


class _State(msgspec.Struct):
    messages: int
    first_ts: datetime


class _Information(msgspec.Struct):
    state: _State | None = None
    """Left out where there is no such stream."""


async def oldest_at(client: Client, stream: str) -> datetime | None:
    """When the oldest message of the stream was stored, by the server's clock; None if it is empty.

    Asked for by hand: the library's answer leaves the instant out. Raises Transient while
    JetStream is away.
    """

    async def attempt() -> bytes:
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=REQUEST_SECONDS)
        return reply.data

    answer = await patiently(f"look at the stream {stream}", attempt)
    state = msgspec.json.decode(answer, type=_Information).state
    return state.first_ts if state is not None and state.messages else None
