"""Follows a stream from now on, in order, and says so when anything may have been missed.

Not `watch` of nats-py: it cannot resume, and was silent for 14 s after a restart of the server.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from shared.jetstream.connection import jetstream
from shared.jetstream.patience import patiently
from shared.workflow.errors import Transient

BATCH = 64
"""Times the largest message it is all that can lie in the client, which drops what is beyond
128 MiB."""
EXPIRES_SECONDS = 30.0
HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 2.5 * HEARTBEAT_SECONDS
"""A request that died with a connection or a leader is known by this."""
INACTIVE_SECONDS = 10.0
"""The server forgets a consumer whose process has gone after so long."""
NANOSECONDS = 1_000_000_000


class Interrupted(Exception):
    """What was stored since the last message may never come: follow anew, and look at all of it."""


class Following:
    """The messages of one consumer."""

    def __init__(self, client: Client, stream: str, consumer: str, inbox: Subscription):
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = inbox
        self._reconnects = client.stats["reconnects"]
        self._last = 0
        self._requested = 0

    async def next(self) -> Msg:
        """Waits for the next message. Raises Interrupted."""
        try:
            while True:
                if not self._requested:
                    await self._request()
                message = await self._inbox.next_msg(timeout=SILENCE_SECONDS)
                if self._client.stats["reconnects"] != self._reconnects:
                    raise Interrupted("the connection was made anew")
                if message.reply:
                    return self._in_order(message)
                self._take_status(message.headers or {})
        except (nats.errors.Error, OSError) as error:
            raise Interrupted(repr(error)) from error

    async def _request(self) -> None:
        request = {
            "batch": BATCH,
            "expires": int(EXPIRES_SECONDS * NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANOSECONDS),
        }
        await self._client.publish(
            self._subject, msgspec.json.encode(request), reply=self._inbox.subject
        )
        self._requested = BATCH

    def _in_order(self, message: Msg) -> Msg:
        sequence = message.metadata.sequence.consumer
        if sequence != self._last + 1:
            raise Interrupted(f"{sequence} came after {self._last}")
        self._last = sequence
        self._requested -= 1
        return message

    def _take_status(self, headers: dict[str, str]) -> None:
        code = headers.get("Status", "")
        if code in {"404", "408"}:
            self._requested = 0
        elif code != "100":
            raise Interrupted(f"{code} {headers.get('Description', '')}")


@asynccontextmanager
async def following(client: Client, stream: str) -> AsyncGenerator[Following]:
    """What is stored after this was entered, while it is entered.

    Raises Transient while JetStream or the stream is away.
    """
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.NEW,
        inactive_threshold=INACTIVE_SECONDS,
        # Nothing is lost with it that is not read anew.
        mem_storage=True,
        num_replicas=1,
    )
    try:
        info = await patiently(
            f"follow {stream}", lambda: jetstream(client).add_consumer(stream, config)
        )
    except NotFoundError as error:
        raise Transient(f"there is no stream {stream}") from error
    inbox = await client.subscribe(client.new_inbox())
    try:
        yield Following(client, stream, info.name, inbox)
    finally:
        if not client.is_closed:
            await inbox.unsubscribe()
