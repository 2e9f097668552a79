"""What waits in a stream."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import msgspec
from nats.aio.client import Client
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from shared.jetstream.connection import REQUEST_SECONDS
from shared.jetstream.patience import patiently
from shared.workflow.errors import Transient


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


async def caught_up(js: JetStreamContext, stream: str, consumer: str) -> bool:
    """Whether the consumer has settled all that the stream has for it.

    Raises Transient while JetStream or the consumer is away.
    """
    try:
        info = await patiently(f"look at {consumer}", lambda: js.consumer_info(stream, consumer))
    except NotFoundError as error:
        raise Transient(f"there is no consumer {consumer}") from error
    return not (info.num_pending or info.num_ack_pending)


class Backlog(NamedTuple):
    """What the consumers of a stream have before them, and behind them."""

    waiting: int
    """Messages not delivered yet, and those delivered but not acknowledged."""
    delivered: int
    """Deliveries so far; grows with each."""


async def backlog(js: JetStreamContext, stream: str, of: Collection[str] | None = None) -> Backlog:
    """The backlog of all consumers of a stream, or of those named; a message that none takes is
    nobody's.

    Raises Transient while JetStream or the stream is away.
    """
    try:
        infos = await patiently(f"look at {stream}", lambda: js.consumers_info(stream))
    except NotFoundError as error:
        raise Transient(f"there is no stream {stream}") from error
    infos = [info for info in infos if of is None or info.name in of]
    return Backlog(
        waiting=sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in infos),
        delivered=sum(info.delivered.consumer_seq for info in infos if info.delivered),
    )
