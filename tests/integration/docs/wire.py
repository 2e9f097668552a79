"""What a bare NATS client sends and sees."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.jetstream.connection import jetstream

PATIENCE_SECONDS = 30.0
WEBHOOK_SECRET = "whsec_of_the_docs"
UNSETTLED = (b"+WPI", b"-NAK")


def same_fields(found: Any, expected: Any) -> bool:
    """All the way down, and of lists in their first elements; null or empty says nothing."""
    if not found or not expected:
        return True
    if isinstance(found, dict) and isinstance(expected, dict):
        fields, others = cast("dict[str, Any]", found), cast("dict[str, Any]", expected)
        return fields.keys() == others.keys() and all(
            same_fields(fields[name], others[name]) for name in fields
        )
    if isinstance(found, list) and isinstance(expected, list):
        return same_fields(found[0], expected[0])
    return True


class Wire:
    """Publishes and asks; hears how each message was settled, and each event."""

    def __init__(self, client: Client):
        self._client = client
        self._js = jetstream(client)
        self._settled: Subscription | None = None
        self._events: Subscription | None = None
        self._heard: dict[str, bytes] = {}

    async def listen(self) -> None:
        """From here on nothing is missed."""
        self._settled = await self._client.subscribe("$JS.ACK.>")
        self._events = await self._client.subscribe("events.>")
        await self._client.flush()

    async def publish(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> bytes:
        """Publishes; returns the word that its consumer settled it with in the end: a message may
        be given back, and come again, while another transaction holds its instance."""
        stored = await self._js.publish(subject, body, headers=headers)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                word = await self._next(self._settled)
                # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence in the stream>.…
                parts = word.subject.split(".")
                is_its = (parts[2], parts[5]) == (stored.stream, str(stored.seq))
                if is_its and not word.data.startswith(UNSETTLED):
                    return word.data

    async def ask(self, subject: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        """The reply's body and headers."""
        reply = await self._client.request(subject, body, timeout=PATIENCE_SECONDS)
        return reply.data, reply.headers or {}

    async def event(self, subject: str) -> bytes:
        """The last event on the subject; waits for one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while subject not in self._heard:
                message = await self._next(self._events)
                self._heard[message.subject] = message.data
        return self._heard[subject]

    async def _next(self, subscription: Subscription | None) -> Msg:
        assert subscription is not None, "listen first"
        return await subscription.next_msg(timeout=PATIENCE_SECONDS)
