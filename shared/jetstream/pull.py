"""Pulls from one durable consumer, never more than there are free workers.

A loop of our own on one inbox: `fetch` of nats-py stalls for seconds after a timed-out batch
(nats.py #986) and needs a request of its own for every batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.jetstream.delivery import JetStreamDelivery
from shared.workflow.errors import Transient

log = structlog.get_logger()

HEARTBEAT_SECONDS = 2.0
EXPIRES_SECONDS = 30.0
BACK_OFF_SECONDS = 0.25
GATHER_SECONDS = 0.05
"""How long a few free workers wait for others to be asked for together."""
CANCEL_SECONDS = 5.0
NANOSECONDS = 1_000_000_000

TROUBLE = (nats.errors.Error, OSError, Transient)
"""What the client raises while the server is away; the loop tries again."""


class PullLoop:
    """Hands deliveries to `handle`, `workers` at a time, and keeps them alive meanwhile."""

    def __init__(
        self,
        client: Client,
        *,
        stream: str,
        consumer: str,
        stream_created: Callable[[], str],
        workers: int,
        ack_wait_seconds: float,
        handle: Callable[[JetStreamDelivery], Awaitable[object]],
        lost: Callable[[], Awaitable[None]],
    ):
        self._client = client
        self._request_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._name = consumer
        self._stream_created = stream_created
        self._workers = workers
        self._ack_wait_seconds = ack_wait_seconds
        self._handle = handle
        self._lost = lost
        self._busy: dict[asyncio.Task[None], JetStreamDelivery] = {}
        self._requested = 0
        self._heard_at = 0.0
        self._inbox: Subscription | None = None
        self._changed = asyncio.Event()
        self._draining = False
        self._reconnects = 0

    async def run(self) -> None:
        """Pulls until it is cancelled or drained. Raises ConnectionClosedError when the client
        was closed for good."""
        keeping_alive = asyncio.create_task(self._keep_alive())
        at_least = max(1, self._workers // 2)
        try:
            while not self._draining:
                self._changed.clear()
                if self._client.is_closed:
                    raise nats.errors.ConnectionClosedError
                try:
                    if self._client.is_connected:
                        await self._look_after_inbox()
                        await self._pull(at_least)
                except TROUBLE as error:
                    log.info("pull_failed", consumer=self._name, reason=repr(error))
                # Half of the workers at a time, since a request for each message would double the
                # traffic; but while the others are long at work, those that are free work on.
                at_least = max(1, self._workers // 2)
                try:
                    async with asyncio.timeout(self._patience_seconds()):
                        await self._changed.wait()
                except TimeoutError:
                    at_least = at_least if self._requested else 1
            if self._busy:
                await asyncio.wait(self._busy)
        finally:
            keeping_alive.cancel()

    def _patience_seconds(self) -> float:
        nothing_to_ask = self._requested or len(self._busy) >= self._workers
        return HEARTBEAT_SECONDS if nothing_to_ask else GATHER_SECONDS

    async def drain(self, grace_seconds: float) -> None:
        """Takes nothing more and lets what runs finish; what takes longer is given back."""
        self._draining = True
        self._changed.set()
        if self._busy:
            await asyncio.wait(self._busy, timeout=grace_seconds)
        left = dict(self._busy)
        for task in left:
            task.cancel()
        if left:
            # Bounded: what cannot even be cancelled ends with the process.
            await asyncio.wait(left, timeout=CANCEL_SECONDS)
        try:
            for delivery in left.values():
                await delivery.nak(0)
            if self._inbox is not None:
                await self._inbox.unsubscribe()
        except TROUBLE as error:
            log.info("drain_incomplete", consumer=self._name, reason=repr(error))

    async def _look_after_inbox(self) -> None:
        """A fresh inbox after a reconnect or when the server has fallen silent: its requests died
        with the connection or a leader, and a late answer to one of them must not be counted for
        a new one."""
        reconnects = self._client.stats["reconnects"]
        silent = self._requested and monotonic() - self._heard_at > 2.5 * HEARTBEAT_SECONDS
        if self._inbox is not None and not silent and reconnects == self._reconnects:
            return
        self._reconnects = reconnects
        self._requested = 0
        if self._inbox is not None:
            log.info("pull_renewed", consumer=self._name)
            inbox, self._inbox = self._inbox, None
            await inbox.unsubscribe()
            # Whoever lost the whole server has lost the consumer with it.
            await self._restore()
        self._inbox = await self._client.subscribe(self._client.new_inbox(), cb=self._receive)

    async def _restore(self) -> None:
        try:
            await self._lost()
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop must try again
            log.warning("consumer_not_restored", consumer=self._name, reason=repr(error))

    async def _pull(self, at_least: int) -> None:
        free = self._workers - len(self._busy) - self._requested
        if self._inbox is None or free < at_least:
            return
        self._requested += free
        self._heard_at = monotonic()
        await self._client.publish(
            self._request_subject,
            msgspec.json.encode(
                {
                    "batch": free,
                    "expires": int(EXPIRES_SECONDS * NANOSECONDS),
                    "idle_heartbeat": int(HEARTBEAT_SECONDS * NANOSECONDS),
                }
            ),
            reply=self._inbox.subject,
        )

    async def _receive(self, message: Msg) -> None:
        self._heard_at = monotonic()
        if not message.reply:
            await self._receive_status(message.headers or {})
            return
        self._requested = max(0, self._requested - 1)
        delivery = JetStreamDelivery(self._client, message, self._stream_created())
        if self._draining:
            await delivery.nak(0)
            return
        task = asyncio.create_task(self._work(delivery))
        self._busy[task] = delivery
        task.add_done_callback(self._done)

    async def _receive_status(self, headers: dict[str, str]) -> None:
        """Heartbeats only show life; anything else ends a request (nats-facts, pulling)."""
        code = headers.get("Status", "")
        if code == "100":
            return
        unfilled = headers.get("Nats-Pending-Messages")
        self._requested = max(0, self._requested - int(unfilled)) if unfilled else 0
        if code not in {"404", "408"}:
            log.info("pull_refused", consumer=self._name, code=code, why=headers.get("Description"))
            await asyncio.sleep(BACK_OFF_SECONDS)
            if code == "503" or "Deleted" in headers.get("Description", ""):
                await self._restore()
        self._changed.set()

    async def _work(self, delivery: JetStreamDelivery) -> None:
        try:
            await self._handle(delivery)
        except TROUBLE as error:
            # The word that settles it did not reach the server: it comes again after ack_wait.
            log.info("delivery_unsettled", consumer=self._name, reason=repr(error))

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._busy[task]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None and not self._draining:
            log.error("delivery_failed", consumer=self._name, error=repr(error))
        self._changed.set()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._ack_wait_seconds / 3)
            for delivery in list(self._busy.values()):
                try:
                    await delivery.in_progress()
                except TROUBLE as error:
                    log.info("keep_alive_failed", consumer=self._name, reason=repr(error))
                    break
