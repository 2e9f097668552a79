"""A replica of a service: what it is made of, how it starts, and how it drains."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic
from uuid import uuid4

import asyncpg
import structlog
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from shared.jetstream import topology
from shared.jetstream.connection import close, connect, jetstream
from shared.jetstream.patience import Together
from shared.jetstream.publisher import JetStreamPublisher
from shared.jetstream.pull import PullLoop
from shared.jetstream.requests import RequestServer
from shared.jetstream.status import JetStreamStatusBucket
from shared.messages import subjects
from shared.postgres.clock import ClockStore
from shared.postgres.letters import LetterStore
from shared.postgres.pool import create_pool
from shared.postgres.retention import RetentionStore
from shared.postgres.store import PostgresStore
from shared.runtime import builtin, health
from shared.runtime.clocks import SystemClock
from shared.runtime.courier import Courier
from shared.runtime.crons import checked, declare
from shared.runtime.definition import ServiceDefinition, ServiceSettings
from shared.runtime.measured import answered, observed
from shared.runtime.notifying import open_notifier
from shared.runtime.outbox import Outbox
from shared.runtime.relay import Relay
from shared.runtime.requests import Dispatcher, run_errand
from shared.runtime.retention import Retention
from shared.runtime.scheduler import Scheduler
from shared.runtime.standing import EVENT_WORKERS, INGEST_WORKERS, ensure_standing
from shared.runtime.surroundings import Surroundings
from shared.runtime.timekeeper import Timekeeper
from shared.runtime.virtual.member import service_member
from shared.workflow.errors import Transient
from shared.workflow.executor import Executor
from shared.workflow.ports import Clock
from shared.workflow.registry import Registry
from shared.workflow.settings import EngineSettings

log = structlog.get_logger()

UPKEEP_CONNECTIONS = 4
OWN_CONNECTIONS = 8
REQUEST_CONNECTIONS = 8
CONTROL_WORKERS = 4


class Service:
    """One replica of a service."""

    def __init__(
        self, definition: ServiceDefinition, settings: ServiceSettings, clock: Clock | None = None
    ):
        self._definition = definition
        self._settings = settings
        self._clock = clock or SystemClock()
        self._registry = Registry(definition.workflows)
        self._crons = checked(definition.crons, definition.crons_revision, self._registry)
        self._stopping = asyncio.Event()
        self._started = False
        self._failure: str | None = None
        self._client: Client | None = None
        self._pools: list[asyncpg.Pool[asyncpg.Record]] = []
        self._pulls: list[PullLoop] = []
        self._streams_created: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Name of the service."""
        return self._definition.name

    def stop(self, failure: str | None = None) -> None:
        """Asks the service to drain and end; `failure` says what it cannot live without."""
        self._failure = self._failure or failure
        self._stopping.set()

    async def run(self) -> str | None:
        """Runs until `stop`, then finishes what is in flight; returns the failure, if any."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            runner = await health.serve(
                settings.http_host, settings.http_port, started=self._startup, ready=self._ready
            )
            stack.push_async_callback(runner.cleanup)
            client = await connect(
                settings.nats_url.reveal(),
                self.name,
                on_closed=lambda: self.stop("the NATS client was closed"),
            )
            stack.push_async_callback(close, client)
            self._client = client
            js = jetstream(client)
            await self._ensure(js)
            await self._assemble(stack, client, js)
            self._started = True
            log.info("service_started", service=self.name, kinds=self._registry.kinds)
            await self._stopping.wait()
            # Read before the client is closed below, which is no failure.
            failure = self._failure
            log.info("service_draining", service=self.name, failure=failure)
        log.info("service_stopped", service=self.name)
        return failure

    async def _assemble(self, stack: AsyncExitStack, client: Client, js: JetStreamContext) -> None:
        """Makes and starts every part; the stack ends them in the reverse order."""
        settings, definition, name = self._settings, self._definition, self.name
        engine = EngineSettings(lease_seconds=settings.lease_seconds)
        # Workers ≤ step connections, and room for the branches of runs (rules 4 and 10).
        workers = settings.workers + settings.wake_workers + CONTROL_WORKERS
        steps = await self._pool(stack, "steps", workers + engine.branch_connections)
        # Its looks begin with the service, while the tables may still be empty.
        upkeep = await self._pool(stack, "upkeep", UPKEEP_CONNECTIONS, plans_anew=True)
        facts = INGEST_WORKERS + (EVENT_WORKERS if definition.events else 0)
        serving = await self._pool(stack, "requests", REQUEST_CONNECTIONS + facts)
        clock_store = ClockStore(upkeep)
        member = await service_member(client, name, settings, clock_store, self._clock)
        if member is not None:
            self._clock = member.clock
        own = await self._pool(stack, "own", OWN_CONNECTIONS)
        surroundings = Surroundings(clock=self._clock, pool=own, client=client)
        parts = await stack.enter_async_context(definition.begin(surroundings))
        # Who wakes what is due waits until all processes have its instant.
        due_clock = member.agreed if member else self._clock
        store = PostgresStore(name, steps, upkeep)
        stack.push_async_callback(self._flush, store)
        lost = Together(partial(self._ensure, js))
        publisher = JetStreamPublisher(client, lost=lost)
        statuses = JetStreamStatusBucket(client, lost=lost)
        executor = Executor(
            service=name,
            registry=self._registry,
            store=store,
            publisher=publisher,
            statuses=statuses,
            clock=self._clock,
            monotonic=monotonic,
            settings=engine,
        )
        dispatcher = Dispatcher(
            name,
            outbox=Outbox(serving, store, publisher),
            store=store,
            clock=self._clock,
            new_id=uuid4,
            facts={handler.name: handler for handler in definition.facts},
            events=definition.events,
        )
        timekeeper = Timekeeper(
            store,
            publisher,
            due_clock,
            interval_seconds=settings.timekeeper_seconds,
            reachable=lambda: client.is_connected,
        )
        outbox = Outbox(upkeep, store, publisher)
        await declare(outbox, self._crons, definition.crons_revision, self._clock.now())
        scheduler = Scheduler(
            outbox,
            due_clock,
            interval_seconds=settings.timekeeper_seconds,
            polling=[cron.name for cron in self._crons if cron.polls],
        )
        if member is not None:
            await member.join(
                before_report=(
                    store.flush_sent,
                    clock_store.hurry_unread,
                    timekeeper.tick,
                    scheduler.tick,
                    *(part.tick for part in parts),
                ),
                also_due=(scheduler.earliest_at, *(part.earliest_at for part in parts)),
            )
        for part in parts:
            self._spawn(stack, part.name, part.run())
        self._spawn(stack, "relay", Relay(store, publisher, self._clock).run())
        self._spawn(stack, "timekeeper", timekeeper.run())
        self._spawn(stack, "scheduler", scheduler.run())
        notifier = await stack.enter_async_context(
            open_notifier(name, definition.notices, settings, upkeep)
        )
        self._spawn(stack, "courier", Courier(LetterStore(upkeep), notifier).run())
        retention = Retention(
            RetentionStore(upkeep),
            statuses,
            self._clock,
            expire_unclaimed=store.expire_unclaimed,
        )
        self._spawn(stack, "retention", retention.run())
        answers = {
            subject(name, handler.name): answered(handler.name, partial(dispatcher.answer, handler))
            for subject, handlers in (
                (
                    subjects.command,
                    (*definition.commands, *builtin.commands(name, self._registry.kinds)),
                ),
                (
                    subjects.query,
                    (*definition.queries, *builtin.queries(name, store, definition.invariants)),
                ),
            )
            for handler in handlers
        } | {
            subject(name, errand.name): answered(
                errand.name, partial(run_errand, errand, surroundings)
            )
            for subject, errands in (
                (
                    subjects.command,
                    (
                        *definition.errands,
                        *builtin.errands(self._registry.kinds, definition.datasets),
                    ),
                ),
                (subjects.query, (*definition.inquiries, *builtin.INQUIRIES)),
            )
            for errand in errands
        }
        server = RequestServer(client, name, answers, max_in_flight=REQUEST_CONNECTIONS)
        await server.start()
        stack.push_async_callback(server.stop)
        queue = subjects.workflows_stream(name)
        hearing = (
            subjects.EVENTS_STREAM,
            subjects.events_consumer(name),
            EVENT_WORKERS,
            dispatcher.hear,
        )
        for stream, consumer, workers, handle in (
            (queue, subjects.starts_consumer(name), settings.workers, executor.deliver),
            (queue, subjects.wakes_consumer(name), settings.wake_workers, executor.deliver),
            (queue, subjects.controls_consumer(name), CONTROL_WORKERS, executor.deliver),
            (
                subjects.INGEST_STREAM,
                subjects.ingest_consumer(name),
                INGEST_WORKERS,
                dispatcher.take,
            ),
            *([hearing] if definition.events else []),
        ):
            pull = PullLoop(
                client,
                stream=stream,
                consumer=consumer,
                stream_created=partial(self._streams_created.__getitem__, stream),
                workers=workers,
                ack_wait_seconds=settings.ack_wait_seconds,
                handle=observed(consumer, handle),
                lost=lost,
            )
            self._pulls.append(pull)
            self._spawn(stack, consumer, pull.run())
        stack.push_async_callback(self._drain)

    async def _pool(
        self, stack: AsyncExitStack, purpose: str, size: int, *, plans_anew: bool = False
    ) -> asyncpg.Pool[asyncpg.Record]:
        pool = await create_pool(
            self._settings.database_url.reveal(),
            size=size,
            name=f"{self.name}-{purpose}",
            idle_timeout_seconds=self._settings.lease_seconds,
            plans_anew=plans_anew,
        )
        stack.callback(pool.terminate)
        self._pools.append(pool)
        return pool

    async def _ensure(self, js: JetStreamContext) -> None:
        """Makes streams and consumers exist, at the start and after the whole of NATS was lost."""
        heard = {handler.subject for handler in self._definition.events}
        await ensure_standing(js, self.name, self._registry.kinds, self._settings, heard)
        for stream in (
            subjects.workflows_stream(self.name),
            subjects.INGEST_STREAM,
            subjects.EVENTS_STREAM,
        ):
            self._streams_created[stream] = await topology.created_at(js, stream)

    async def _drain(self) -> None:
        """Takes nothing more; what does not finish in time goes back to the other replicas."""
        grace_seconds = self._settings.drain_seconds
        await asyncio.gather(*(pull.drain(grace_seconds) for pull in self._pulls))

    async def _flush(self, store: PostgresStore) -> None:
        try:
            await store.flush_sent()
        except Transient as error:
            # The relay of another replica publishes them again; consumers drop the repeats.
            log.info("sent_marks_lost", reason=str(error))

    def _spawn(self, stack: AsyncExitStack, name: str, loop: Coroutine[None, None, None]) -> None:
        """Runs a loop as long as the service; one that fails ends the service."""

        async def guarded() -> None:
            try:
                await loop
            except Exception:
                log.exception("loop_failed", loop=name)
                self.stop(f"{name} failed")

        task = asyncio.create_task(guarded(), name=name)

        async def cancel() -> None:
            while not task.done():
                # Once is not always enough: what a library raises while it is being cancelled can
                # take the cancellation's place.
                task.cancel()
                await asyncio.wait([task], timeout=1)

        stack.push_async_callback(cancel)

    async def _startup(self) -> str | None:
        return None if self._started else "not started yet"

    async def _ready(self) -> str | None:
        if self._stopping.is_set():
            return "draining"
        if not self._started or self._client is None:
            return "not started yet"
        if not self._client.is_connected:
            return "NATS is away"
        try:
            async with asyncio.timeout(2), self._pools[1].acquire() as connection:
                await connection.execute("SELECT 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return f"PostgreSQL is away: {type(error).__name__}"
        return None
