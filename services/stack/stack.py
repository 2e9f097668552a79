"""Starts all processes in order, keeps them running, and stops them in the opposite order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

import services
from services.stack.folder import StackFolder, StackInfo
from services.stack.processes import MARK, SERVICES, Service, ServiceProcess, end_leftovers
from shared.jetstream.authorization import authorization, quoted
from shared.jetstream.rights import OPERATOR, PUBLISHER, users
from shared.jetstream.topology import kinds_by_service
from shared.postgres.migrations import ENGINE_SQL, bootstrap, create_database, migrate
from shared.runtime.clocks import SystemClock
from shared.runtime.embedded.child import ChildError, ChildProcess
from shared.runtime.embedded.nats import EmbeddedNats
from shared.runtime.embedded.postgres import EmbeddedPostgres

DATABASE = "padawanforge"
LAST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A process that lived this long had started well: its next death is a first one again."""
REPEATED_DEATHS = 5


class Stack:
    """The one-machine stack of a folder. Entering starts it, leaving stops it.

    `say` gets a sentence for whoever watches; `own` is the environment the services inherit.
    With `serving=False` NATS and the databases are up, and no service.
    """

    def __init__(
        self,
        folder: StackFolder,
        say: Callable[[str], None],
        own: Mapping[str, str],
        table: Sequence[Service] = SERVICES,
        *,
        serving: bool = True,
        first_backoff_seconds: float = 0.2,
    ):
        self._folder = folder
        self._say = say
        self._environment = {**own, MARK: str(folder.path)}
        self._table = table
        self._serving = serving
        self._first_backoff_seconds = first_backoff_seconds
        self._children: list[ChildProcess] = []
        self._guards: list[asyncio.Task[None]] = []
        self._databases: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._folder.open()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    @property
    def info(self) -> StackInfo:
        """Addresses and process ids as they are now."""
        addresses = {each.name: each.address for each in self._children_of(ServiceProcess)}
        return StackInfo(
            gateway=addresses.get("gateway", ""),
            api_key=self._folder.api_key,
            nats=self._nats_url(PUBLISHER),
            nats_operator=self._nats_url(OPERATOR),
            databases=self._databases,
            processes={
                "stack": os.getpid(),
                **{each.name: each.pid for each in self._children if each.pid},
            },
            logs=str(self._folder.path / "logs"),
            clock=self._clock,
        )

    async def _start(self) -> None:
        if count := await end_leftovers(self._folder.path):
            self._say(f"ended {count} processes that an earlier stack had left behind")
        if self._clock == "virtual":
            # The same for all: whoever came last would else be ahead of the others.
            start = self._folder.clock_start(SystemClock().now())
            self._environment.setdefault("CLOCK_START", start.isoformat())
        names = ("nats", "postgres", *(service.name for service in self._table))
        # All of them before anything starts: a port that cannot be had is told at once.
        self._ports = {name: self._folder.port(name, self._environment) for name in names}
        self._nats = EmbeddedNats(
            self._folder.path / "nats",
            log=self._folder.log("nats"),
            port=self._ports["nats"],
            environment=self._environment,
            authorization=authorization(
                users(kinds_by_service(), virtual_clock=self._clock == "virtual"),
                lambda user: quoted(self._nats_password(user)),
            ),
        )
        self._postgres = EmbeddedPostgres(
            self._folder.path / "postgres",
            log=self._folder.log("postgres"),
            port=self._ports["postgres"],
            environment={MARK: str(self._folder.path)},
        )
        for server in (self._postgres, self._nats):
            await self._bring_up(server, f"127.0.0.1:{server.port}")
        for service in self._table:
            if service.has_database:
                await self._prepare_database(service)
            if self._serving:
                process = self._process(service)
                await self._bring_up(process, process.address)
        self._folder.publish(self.info)

    async def _bring_up(self, child: ChildProcess, address: str) -> None:
        self._say(f"starting {child.name}")
        self._children.append(child)
        await child.start()
        self._guards.append(asyncio.create_task(self._guard(child)))
        self._say(f"{child.name} is ready at {address}")

    async def _prepare_database(self, service: Service) -> None:
        name, password = service.name, self._folder.password(service.name)
        superuser = await asyncpg.connect(self._postgres.url)
        await create_database(superuser, DATABASE)
        await superuser.close()
        superuser = await asyncpg.connect(self._postgres.url_of(DATABASE))
        await bootstrap(superuser, name, password)
        await superuser.close()
        url = f"postgresql://{name}:{password}@127.0.0.1:{self._postgres.port}/{DATABASE}"
        self._databases[name] = url
        for file in await migrate_service(name, url):
            self._say(f"applied {file}")

    def _process(self, service: Service) -> ServiceProcess:
        port = self._ports[service.name]
        environment = {
            **self._environment,
            "NATS_URL": self._nats_url(service.name),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }
        # What it prints is one file that nothing rotates; its segments are archived.
        environment.setdefault("LOG_DIR", str(self._folder.segments))
        if service.has_database:
            environment["DATABASE_URL"] = self._databases[service.name]
        if service.name == "gateway":
            environment["API_KEY"] = self._folder.api_key
        if service.name == "billing":
            # No money moves on a machine that nobody has told of a provider.
            environment.setdefault("PAYMENT_PROVIDER", "sandbox")
            environment.setdefault("SANDBOX_WEBHOOK_SECRET", self._folder.password("sandbox"))
            gateway = f"http://127.0.0.1:{self._ports['gateway']}"
            environment.setdefault("SANDBOX_WEBHOOK_URL", f"{gateway}/api/webhooks/sandbox")
        if service.name == "maintenance":
            gateway = f"http://127.0.0.1:{self._ports['gateway']}"
            environment.setdefault("GATEWAY_URL", gateway)
        return ServiceProcess(service, self._folder.log(service.name), port, environment)

    @property
    def _clock(self) -> str:
        return self._environment.get("CLOCK") or "system"

    def _nats_url(self, user: str) -> str:
        return self._nats.url_as(user, self._nats_password(user))

    def _nats_password(self, user: str) -> str:
        return self._folder.password(f"nats-{user}")

    async def _guard(self, child: ChildProcess) -> None:
        """Starts the child again whenever it dies."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            began = loop.time()
            code = await child.wait()
            deaths = 1 if loop.time() - began > STEADY_SECONDS else deaths + 1
            self._say(f"{child.name} ended ({_how(code)}); it is started again")
            while not await self._revived(child, deaths):
                deaths += 1
            self._folder.publish(self.info)
            self._say(f"{child.name} is ready again")

    async def _revived(self, child: ChildProcess, deaths: int) -> bool:
        if deaths % REPEATED_DEATHS == 0:
            self._say(
                f"{child.name} has ended {deaths} times: its log {child.log} says why "
                f"({child.last_words()}); put that right, then end the stack and run it again"
            )
        backoff = self._first_backoff_seconds * 2 ** min(deaths - 1, 10)
        await asyncio.sleep(min(backoff, LAST_BACKOFF_SECONDS))
        try:
            await child.start()
        except ChildError as error:
            self._say(str(error))
            return False
        return True

    async def _stop(self) -> None:
        for guard in self._guards:
            guard.cancel()
        for guard in self._guards:
            with suppress(asyncio.CancelledError):
                await guard
        # Those who take work first, then those who do it, then what they stand on.
        servers = [each for each in self._children if not isinstance(each, ServiceProcess)]
        for child in (*reversed(self._children_of(ServiceProcess)), *reversed(servers)):
            if child.running:
                self._say(f"stopping {child.name}")
            await child.stop()
        self._folder.close()

    def _children_of(self, kind: type[ServiceProcess]) -> list[ServiceProcess]:
        return [each for each in self._children if isinstance(each, kind)]


async def migrate_service(name: str, url: str) -> list[str]:
    """Brings a service's schema up to date as its role; the names of the files applied."""
    connection = await asyncpg.connect(url)
    try:
        return await migrate(connection, migrations_of(name))
    finally:
        await connection.close()


def migrations_of(name: str) -> dict[str, Path]:
    """The folders of a service's migrations, by set and in order."""
    return {"engine": ENGINE_SQL, name: Path(services.__path__[0]) / name / "sql"}


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"
