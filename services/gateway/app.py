"""The gateway put together, and its process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

import structlog
from aiohttp import web
from nats.aio.client import Client

from services.gateway import middleware
from services.gateway.caching import CachedRequests
from services.gateway.config import CACHE_SECONDS, GatewaySettings
from services.gateway.description import routes as description
from services.gateway.routes import (
    achievements,
    analytics,
    billing,
    caches,
    controls,
    dead_letters,
    forwarding,
    invariants,
    notices,
    persons,
    players,
    retention,
    schedules,
    sessions,
    webhooks,
    workflows,
)
from services.gateway.routes import health as of_health
from services.gateway.routes.controls import ControlRoutes
from services.gateway.routes.persons import PersonRoutes
from services.gateway.routes.schedules import ScheduleRoutes
from services.gateway.routes.webhooks import WebhookRoutes
from services.gateway.routes.workflows import WorkflowRoutes
from services.gateway.starts import Starter
from services.gateway.statuses import StatusReader
from shared.jetstream.cache import JetStreamCache
from shared.jetstream.connection import Unreachable, close, connect, jetstream
from shared.jetstream.objects import JetStreamObjects
from shared.jetstream.patience import Lost, Together
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.requests import Requests
from shared.jetstream.status import JetStreamStatusBucket
from shared.jetstream.topology import ensure_streams, kinds_by_service
from shared.messages import subjects
from shared.messages.base import MAX_CONTENT_BYTES
from shared.messages.workflows import TRIGGERS, Trigger
from shared.runtime import health
from shared.runtime.clocks import SystemClock
from shared.runtime.config import ConfigurationError, Secret, load
from shared.runtime.logging import configure
from shared.runtime.segments import open_segments
from shared.runtime.tracing import exporting
from shared.runtime.virtual.member import Member, Unkept
from shared.workflow.errors import Transient
from shared.workflow.ports import Clock

log = structlog.get_logger()

READY_SECONDS = 2.0


FORWARDED = (
    *players.TABLE,
    *sessions.TABLE,
    *achievements.TABLE,
    *billing.TABLE,
    *notices.TABLE,
    *persons.TABLE,
    *caches.TABLE,
    *of_health.TABLE,
    *dead_letters.TABLE,
    *invariants.TABLE,
    *analytics.TABLE,
    *retention.TABLE,
)
OPERATIONS = (
    *workflows.OPERATIONS,
    *controls.OPERATIONS,
    *schedules.OPERATIONS,
    *persons.OPERATIONS,
    *webhooks.OPERATIONS,
    *map(forwarding.described, FORWARDED),
    *of_health.OPERATIONS,
)
"""What the API description tells of."""


async def ensure(client: Client, *, replicas: int = 1) -> None:
    """Makes the streams of all kinds exist, so that starts are kept before their service runs."""
    for service, kinds in kinds_by_service().items():
        await ensure_streams(jetstream(client), service, kinds, replicas=replicas)


def create_app(
    client: Client,
    api_key: Secret,
    clock: Clock,
    *,
    stopping: asyncio.Event | None = None,
    triggers: Mapping[str, type[Trigger]] = TRIGGERS,
    lost: Lost | None = None,
    cached: CachedRequests | None = None,
) -> web.Application:
    """The gateway on a connection. Once `stopping` is set it is not ready any more; `lost` makes
    the streams exist again."""
    cached = cached or CachedRequests(JetStreamCache(client), ttl_seconds=CACHE_SECONDS)
    statuses = JetStreamStatusBucket(client, lost=lost)
    publisher = JetStreamPublisher(client, lost=lost)
    starter = Starter(statuses, publisher, clock)
    reader = StatusReader(statuses, client, clock, triggers)

    async def started() -> str | None:
        return None

    async def ready() -> str | None:
        if stopping is not None and stopping.is_set():
            return "draining"
        if not client.is_connected:
            return "NATS is away"
        try:
            async with asyncio.timeout(READY_SECONDS):
                await statuses.check()
        except (Transient, TimeoutError) as error:
            return f"the status bucket is away: {str(error) or 'no answer in time'}"
        return None

    app = web.Application(
        middlewares=[
            middleware.traced,
            middleware.access,
            middleware.problems,
            middleware.authenticate(api_key),
        ],
        client_max_size=MAX_CONTENT_BYTES,
    )
    app.add_routes(health.routes(started=started, ready=ready))
    app.add_routes(ControlRoutes(reader, publisher, triggers).table())
    app.add_routes(WorkflowRoutes(starter, reader).table())
    services = {trigger.service for trigger in TRIGGERS.values()}
    app.add_routes(ScheduleRoutes(Requests(client), services).table())
    exports = JetStreamObjects(client, subjects.PERSON_EXPORTS_BUCKET)
    app.add_routes(PersonRoutes(reader, exports).table())
    app.add_routes(WebhookRoutes(Requests(client)).table())
    app.add_routes(forwarding.routes(FORWARDED, Requests(client), cached))
    app.add_routes(description.routes(OPERATIONS))
    return app


class Gateway:
    """One replica."""

    def __init__(self, settings: GatewaySettings, clock: Clock):
        self._settings = settings
        self._clock = clock
        self._stopping = asyncio.Event()
        self._failure: str | None = None

    def stop(self, failure: str | None = None) -> None:
        """Asks it to finish what is in flight and end; `failure` says what it cannot do without."""
        self._failure = self._failure or failure
        self._stopping.set()

    async def run(self) -> str | None:
        """Runs until `stop`; returns the failure, if any. Raises Unreachable and Transient."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            client = await connect(
                settings.nats_url.reveal(),
                "gateway",
                on_closed=lambda: self.stop("the NATS client was closed"),
            )
            stack.push_async_callback(close, client)
            standing = partial(ensure, client, replicas=settings.stream_replicas)
            await standing()
            app = create_app(
                client,
                settings.api_key,
                await self._business_clock(client),
                stopping=self._stopping,
                lost=Together(standing),
                cached=CachedRequests(
                    JetStreamCache(client, replicas=settings.stream_replicas),
                    ttl_seconds=settings.cache_seconds,
                ),
            )
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=settings.drain_seconds)
            await runner.setup()
            # Closes the socket, then waits for the requests in flight; only then NATS goes.
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, settings.http_host, settings.http_port).start()
            log.info("gateway_started", port=settings.http_port)
            await self._stopping.wait()
            log.info("gateway_draining", failure=self._failure)
            failure = self._failure
        log.info("gateway_stopped")
        return failure

    async def _business_clock(self, client: Client) -> Clock:
        settings = self._settings
        if settings.clock == "system":
            return self._clock
        start = settings.clock_start or self._clock.now()
        member = Member(client, "gateway", Unkept(), start)
        await member.join()
        return member.clock


def main() -> int:
    """The process, until SIGTERM or SIGINT; returns its exit code."""
    try:
        settings = load(GatewaySettings, os.environ)
        configure("gateway", settings.log_level, open_segments("gateway", settings))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        with exporting("gateway", settings.otel_exporter_otlp_endpoint):
            failure = asyncio.run(_run(settings))
    except (Transient, Unreachable, OSError) as error:
        failure = str(error)
    if failure is not None:
        log.error("gateway_failed", reason=failure)
    return 1 if failure is not None else 0


async def _run(settings: GatewaySettings) -> str | None:
    gateway = Gateway(settings, SystemClock())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stop)
    return await gateway.run()
