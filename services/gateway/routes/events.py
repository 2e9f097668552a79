"""`/api/workflows/{id}/events`: the status of an instance as server-sent events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from secrets import randbelow

from aiohttp import web

from services.gateway import metrics
from services.gateway.live import Draining, Frame, LiveStatuses, Watcher
from services.gateway.middleware import REQUEST_ID, REQUEST_ID_OF
from services.gateway.routes.workflows import id_and_kind
from services.gateway.statuses import StatusReader
from shared.messages.problems import Refused
from shared.workflow.ports import Order
from shared.workflow.records import InstanceKey

LAST_EVENT_ID = "Last-Event-ID"
EVENT_ID = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\d{1,18})", re.ASCII)
HEARTBEAT_SECONDS = 15.0
"""A proxy must not take the stream for dead, and who has gone is noticed by a write alone."""
WRITE_SECONDS = 30.0
"""A client that takes nothing for so long is cut off."""
RETRY_MILLISECONDS = 1000
HEADERS: Mapping[str, str] = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # A proxy that gathers answers would keep the events back.
    "X-Accel-Buffering": "no",
}


class EventRoutes:
    """One handler, which lasts as long as its client or its instance."""

    def __init__(
        self,
        reader: StatusReader,
        live: LiveStatuses,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ):
        self._reader = reader
        self._live = live
        self._heartbeat_seconds = heartbeat_seconds
        self._write_seconds = write_seconds

    def table(self) -> list[web.RouteDef]:
        """The address."""
        return [web.get("/api/workflows/{id}/events", self.events)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The present status at once, then each newer one, until the instance has ended.

        204 for who has seen the end already: that is how a browser is told not to come again.
        """
        after = _last_event_id(request)
        asked = id_and_kind(request, request.match_info["id"])
        document = await self._reader.find(*asked)
        key = InstanceKey(document.kind, document.workflow_id)
        with self._live.watch(key, after) as watcher:
            newest = await self._live.read(key) or document
            if newest.status.ended and after is not None and newest.order <= after:
                return web.Response(status=204)
            if request.method == "HEAD":
                return web.Response(headers=HEADERS)
            # Of a start that nobody seems to have taken, the reader knows more than the bucket.
            shown = newest if newest.order > document.order else document
            watcher.offer(Frame.of(shown))
            return await self._stream(request, watcher)

    async def _stream(self, request: web.Request, watcher: Watcher) -> web.StreamResponse:
        response = web.StreamResponse(headers=HEADERS)
        response.headers[REQUEST_ID] = request[REQUEST_ID_OF]
        with metrics.EVENT_STREAMS.track_inprogress():
            try:
                await response.prepare(request)
                async for piece in self._pieces(watcher):
                    async with asyncio.timeout(self._write_seconds):
                        await response.write(piece)
                await response.write_eof()
            except (ConnectionError, TimeoutError):
                # It has gone, or takes nothing; a transport that is only closed would keep trying.
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _pieces(self, watcher: Watcher) -> AsyncIterator[bytes]:
        yield _retry(RETRY_MILLISECONDS)
        while True:
            try:
                frame = await watcher.next(self._heartbeat_seconds)
            except Draining:
                # Not all of them at once to the other replicas.
                yield _retry(RETRY_MILLISECONDS + randbelow(RETRY_MILLISECONDS))
                return
            if frame is None:
                yield b": still there\n\n"
                continue
            yield _event(frame)
            if frame.ended:
                return


def _retry(milliseconds: int) -> bytes:
    return b"retry: %d\n\n" % milliseconds


def _event(frame: Frame) -> bytes:
    event_id = ".".join(map(str, frame.order)).encode()
    # Between the values of an output there may be new lines, which would end the field.
    data = frame.body.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"id: %b\nevent: status\ndata: %b\n\n" % (event_id, data)


def _last_event_id(request: web.Request) -> Order | None:
    text = request.headers.get(LAST_EVENT_ID)
    if not text:
        return None
    match = EVENT_ID.fullmatch(text)
    if match is None:
        raise Refused(
            "invalid_parameter", "send back the `id` of an event, as it came", field=LAST_EVENT_ID
        )
    generation, version, stage = map(int, match.groups())
    return (generation, version, stage)
