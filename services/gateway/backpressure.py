"""Takes no more starts for a service that is far behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

import structlog
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from services.gateway.credentials.rates import TooMany
from shared.jetstream.patience import patiently
from shared.messages import subjects
from shared.messages.workflows import TRIGGERS
from shared.workflow.errors import Transient

log = structlog.get_logger()

LOOK_SECONDS = 1.0
RETRY_AFTER_SECONDS = 5


class Backpressure:
    """Knows, at most a second late, how many starts wait for each service.

    No start waits for a look. Where the backlog cannot be read, starts go through: whether
    JetStream keeps them is told by JetStream itself, and a service that never ran has no consumer.
    """

    def __init__(
        self, js: JetStreamContext, max_starts: int, now_seconds: Callable[[], float] = monotonic
    ):
        self._js = js
        self._max_starts = max_starts
        self._now_seconds = now_seconds
        self._waiting: dict[str, int] = {}
        self._looked_at: dict[str, float] = {}
        self._looks: set[asyncio.Task[None]] = set()

    def check(self, kind: str) -> None:
        """Raises TooMany where the kind's service has more starts before it than it may have."""
        service = TRIGGERS[kind].service
        now = self._now_seconds()
        if now - self._looked_at.get(service, -LOOK_SECONDS) >= LOOK_SECONDS:
            self._looked_at[service] = now
            look = asyncio.create_task(self._look(service))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        waiting = self._waiting.get(service, 0)
        if waiting >= self._max_starts:
            raise TooMany(
                "backlogged",
                f"{waiting} starts wait for the {service} service: send this one later",
                RETRY_AFTER_SECONDS,
            )

    async def _look(self, service: str) -> None:
        stream, consumer = subjects.workflows_stream(service), subjects.starts_consumer(service)
        try:
            info = await patiently(
                f"look at {consumer}", lambda: self._js.consumer_info(stream, consumer)
            )
        except (Transient, NotFoundError) as error:
            self._waiting.pop(service, None)
            log.info("backlog_not_known", service=service, reason=str(error))
            return
        self._waiting[service] = (info.num_pending or 0) + (info.num_ack_pending or 0)
