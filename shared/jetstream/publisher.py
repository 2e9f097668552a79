"""Publishing with an acknowledgement, bounded in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nats.aio.client import Client
from nats.js.errors import APIError
from opentelemetry.trace import SpanKind

from shared.jetstream.connection import MessageTooLarge, jetstream, require_fit
from shared.jetstream.patience import Lost, patiently
from shared.messages import subjects
from shared.workflow import tracing
from shared.workflow.records import OutboxMessage

TOO_LARGE = 10054
"""JetStream's error code for a message over its stream's limit."""


class JetStreamPublisher:
    """A `Publisher` on JetStream.

    It awaits each publish: the library's publish_async leaks its slots on a disconnect. `lost`
    makes streams exist again when none takes a message.
    """

    def __init__(self, client: Client, *, max_in_flight: int = 100, lost: Lost | None = None):
        self._client = client
        self._js = jetstream(client)
        self._slots = asyncio.Semaphore(max_in_flight)
        self._lost = lost

    async def publish(self, messages: Sequence[OutboxMessage]) -> None:
        """Returns once every message is stored.

        Raises MessageTooLarge before anything is sent if one can never be stored, and Transient
        when JetStream is away; some of the messages may then have been stored, which their ids
        make harmless to repeat.
        """
        for message in messages:
            require_fit(self._client, _headers(message), message.body)
        if len(messages) == 1:
            await self._publish(messages[0])
            return
        results = await asyncio.gather(
            *(self._publish(message) for message in messages), return_exceptions=True
        )
        for result in results:
            if result is not None:
                raise result

    async def _publish(self, message: OutboxMessage) -> None:
        with tracing.span(
            "publish", SpanKind.PRODUCER, written=message.headers, subject=message.subject
        ):
            await self._store(message)

    async def _store(self, message: OutboxMessage) -> None:
        async def attempt() -> None:
            await self._js.publish(message.subject, message.body, headers=_headers(message))

        async with self._slots:
            try:
                await patiently(f"publish on {message.subject}", attempt, lost=self._lost)
            except APIError as error:
                if error.err_code == TOO_LARGE:
                    raise MessageTooLarge(f"{message.subject}: {error.description}") from error
                raise


def _headers(message: OutboxMessage) -> dict[str, str]:
    headers = message.headers
    if subjects.TRACEPARENT not in headers:
        # From the outbox it has the trace in which it was written, whoever publishes it.
        headers = {**headers, **tracing.outgoing()}
    # A message without an id is one that may well come twice: a wake.
    return {**headers, subjects.MESSAGE_ID: message.id} if message.id else headers
