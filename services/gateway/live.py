"""What changes in the status bucket, as it changes, for any number of clients.

One consumer follows the bucket for the whole process. A client gets the newest document of its key
and no older one: what it has not taken when a newer one comes is dropped, so that a slow client
costs one document.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import Context

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.gateway import metrics
from services.gateway.statuses import public
from shared.jetstream.following import Interrupted, following
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.messages.base import encode
from shared.messages.workflows import StatusDocument
from shared.workflow.errors import Transient
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey

log = structlog.get_logger()

PREFIX = subjects.status_subject("")
BACK_OFF_SECONDS = 0.25
READS_AT_ONCE = 32


class Frame(msgspec.Struct, frozen=True):
    """A status as it is sent; all clients of its key share it."""

    order: Order
    body: bytes
    ended: bool

    @classmethod
    def of(cls, document: StatusDocument) -> Frame:
        """Encodes what callers may see of the document."""
        return cls(document.order, encode(public(document)), document.status.ended)


class Draining(Exception):
    """The gateway ends."""


class Watcher:
    """One client's place."""

    def __init__(self, after: Order | None):
        self._seen = after
        self._frame: Frame | None = None
        self._changed = asyncio.Event()
        self._draining = False

    def offer(self, frame: Frame) -> None:
        """Keeps it, in place of an older one, unless as new a one was offered."""
        if self._seen is None or frame.order > self._seen:
            self._seen = frame.order
            self._frame = frame
            self._changed.set()

    def drain(self) -> None:
        """Ends the client's waiting."""
        self._draining = True
        self._changed.set()

    async def next(self, timeout_seconds: float) -> Frame | None:
        """The newest that was not taken; None when there is none in time. Raises Draining."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        frame, self._frame = self._frame, None
        if frame is None and self._draining:
            raise Draining
        if not self._draining:
            self._changed.clear()
        return frame


class LiveStatuses:
    """The bucket, followed while anybody watches."""

    def __init__(self, client: Client, statuses: JetStreamStatusBucket):
        self._client = client
        self._statuses = statuses
        self._watchers: dict[InstanceKey, set[Watcher]] = {}
        self._following: asyncio.Task[None] | None = None
        self._draining = False

    @contextmanager
    def watch(self, key: InstanceKey, after: Order | None) -> Generator[Watcher]:
        """From here on every newer document of the key than `after` is offered; what is there
        already is for the caller to `read`."""
        watcher = Watcher(after)
        self._watchers.setdefault(key, set()).add(watcher)
        if self._draining:
            watcher.drain()
        elif self._following is None:
            # In a context of its own: it lives on when the request that began it has ended.
            self._following = asyncio.create_task(self._follow(), context=Context())
        try:
            yield watcher
        finally:
            self._watchers[key].discard(watcher)
            if not self._watchers[key]:
                del self._watchers[key]
            if not self._watchers:
                self._end_following()

    async def read(self, key: InstanceKey) -> StatusDocument | None:
        """The document that stands there now, by the bucket's leader. Raises Transient."""
        stored = await self._statuses.get(key, confirmed=True)
        return None if stored is None else stored.document

    async def drain(self, _: object = None) -> None:
        """Has every watcher end, and those that come later."""
        self._draining = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.drain()

    def _end_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self) -> None:
        while True:
            try:
                # Makes the bucket again after all of NATS was lost.
                await self._statuses.check()
                async with following(self._client, subjects.STATUS_STREAM) as changes:
                    await self._catch_up()
                    while True:
                        self._tell(await changes.next())
            except (Interrupted, Transient) as error:
                log.info("status_feed_interrupted", reason=str(error))
            except Exception:
                # Whatever it was, the clients still wait.
                log.exception("status_feed_failed")
            metrics.FEED_INTERRUPTIONS.inc()
            await asyncio.sleep(BACK_OFF_SECONDS)

    async def _catch_up(self) -> None:
        """Reads what is watched: it may have changed while nobody followed."""
        slots = asyncio.Semaphore(READS_AT_ONCE)

        async def look(key: InstanceKey) -> None:
            async with slots:
                document = await self.read(key)
            if document is not None:
                self._offer(key, document)

        await asyncio.gather(*map(look, list(self._watchers)))

    def _tell(self, message: Msg) -> None:
        kind, _, workflow_id = message.subject.removeprefix(PREFIX).partition(".")
        key = InstanceKey(kind, workflow_id)
        # A deletion has no body.
        if message.data and key in self._watchers:
            self._offer(key, msgspec.json.decode(message.data, type=StatusDocument))

    def _offer(self, key: InstanceKey, document: StatusDocument) -> None:
        frame = Frame.of(document)
        for watcher in self._watchers.get(key, ()):
            watcher.offer(frame)
